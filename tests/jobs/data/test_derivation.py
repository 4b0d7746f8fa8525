"""Datasets derived from others: asked for, made by a worker, and what is remembered of it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from jobs.access import Role, Viewer
from jobs.data import dataset_files, deletion, derivation
from jobs.data.datasets import OnInvalid
from jobs.data.derivation import DerivationDraft
from jobs.data.strategies import Choice
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.execution import tasks
from jobs.models import AuditEntry, Dataset, DatasetVersion, Derivation, Examination, Upload
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import QA, make_dataset
from tests.ingesting import ingest
from tests.jobs.data.test_ingest import uploaded
from tests.jobs.stage import make_viewer
from training.data.derivation import (
    MAX_RANGES,
    AddedDataset,
    Cause,
    Changes,
    LineRange,
    Removal,
    covered,
    marked,
)
from training.data.derivation import changes as changes_of
from training.data.doctor.checks import Code, Strategy
from training.data.doctor.examination import examine
from training.data.doctor.kept import keep
from training.data.formats.mapping import Mapping
from training.data.formats.shapes import Format, Part
from training.data.records import Statistics

NEW = [{"question": "Who?", "answer": "You."}, {"question": "When?", "answer": "Now."}]
SAID = {"question": "Who knows?", "answer": "Ask ada@example.org."}
TEXT = Mapping(format=Format.TEXT, columns={Part.TEXT: "question"})
DROP, ERROR, TRUNCATE = Strategy.DROP, Strategy.ERROR, Strategy.TRUNCATE


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def ask(viewer: Viewer, service: Service, parent: Dataset, **wanted: Any) -> Dataset:
    """A derivation that waits for a worker."""
    draft = DerivationDraft(parent.id, **wanted)
    return await derivation.derive(viewer, draft, settings=service.settings, queue=service.queue)


async def derive(viewer: Viewer, service: Service, parent: Dataset, **wanted: Any) -> Dataset:
    """What a worker made of it."""
    return await ingest(service, (await ask(viewer, service, parent, **wanted)).id)


async def examined(service: Service, dataset: Dataset) -> None:
    """What a worker leaves that has examined a dataset."""
    found = examine(dataset.data_type, enumerate(records(service, dataset), 1))
    folder = service.artifacts.examination(dataset.id)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(keep, found, folder)
    report = found.report.model_dump(mode="json")
    await Examination.filter(id=dataset.id).update(status=TaskStatus.READY, report=report)


def records(service: Service, dataset: Dataset) -> list[Any]:
    path = service.artifacts.records(dataset.id)
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def changes(dataset: Dataset) -> Changes:
    version = await DatasetVersion.get(dataset_id=dataset.id)
    return Changes.model_validate(version.changes)


async def test_a_worker_makes_what_was_kept_and_then_what_is_new(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service, description="as it came")
    before = service.artifacts.records(parent.id).read_bytes()
    gone = [LineRange(19, 20), LineRange(3, 3), LineRange(2, 4)]
    begun = await ask(viewer, service, parent, records=NEW, remove=gone, name="better")
    assert (begun.status, begun.progress, begun.sha256) == (TaskStatus.QUEUED, 0.0, None)
    await Dataset.filter(id=begun.id).update(
        status=TaskStatus.RUNNING,
        worker_id="dead",
        attempt=1,
        lease_expires_at=datetime.now(UTC) - timedelta(seconds=1),
    )
    assert await tasks.requeue_lapsed(Work.INGEST, 3) == [(begun.id, 2)]
    child = await ingest(service, begun.id)
    assert (child.status, child.progress, child.attempt) == (TaskStatus.READY, 100.0, 2)
    assert records(service, child) == [QA[0], *QA[4:18], *NEW]
    assert service.artifacts.records(parent.id).read_bytes() == before
    assert (child.name, child.description) == ("better", "as it came")
    assert (child.data_type, child.record_count) == (parent.data_type, 17)
    assert child.size_bytes == service.artifacts.records(child.id).stat().st_size
    assert Statistics.model_validate(child.statistics).records == 17
    assert await changes(child) == Changes(
        added=2,
        removed=5,
        removals=(Removal(cause=Cause.LINES, count=5, lines=(2, 3, 4, 19, 20)),),
        removed_lines=((2, 4), (19, 20)),
        removed_lines_complete=True,
    )
    entry = await AuditEntry.get(action="deriveDataset")
    assert (entry.subject_id, entry.detail) == (child.id, {"parent": str(parent.id)})
    assert await Derivation.all().count() == 0
    assert (await Examination.get(id=child.id)).status is TaskStatus.QUEUED
    same = await make_dataset(viewer, service, records=[QA[0], *QA[4:18], *NEW])
    assert (child.sha256, child.statistics) == (same.sha256, same.statistics)


async def test_what_was_found_is_acted_on_whether_somebody_has_looked_or_not(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service, records=[SAID, *QA, QA[0], SAID])
    wanted = {
        "strategies": [Choice(Code.EMAIL_ADDRESS, DROP), Choice(Code.NOT_NFC, ERROR)],
        "remove_duplicates": True,
    }
    unexamined = await derive(viewer, service, parent, **wanted)
    await examined(service, parent)
    child = await derive(viewer, service, parent, **wanted)
    assert records(service, child) == records(service, unexamined) == QA
    assert await changes(child) == await changes(unexamined)
    assert (await changes(child)).removals == (
        Removal(cause=Cause.FINDING, finding=Code.EMAIL_ADDRESS, count=2, lines=(1, 23)),
        Removal(cause=Cause.DUPLICATE, count=1, lines=(22,)),
    )


async def test_what_is_an_error_fails_the_dataset_and_is_refused_where_it_is_known(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service, records=[*QA, SAID])
    wanted = {"strategies": [Choice(Code.EMAIL_ADDRESS, ERROR)], "records": NEW}
    failed = await derive(viewer, service, parent, **wanted)
    told = "Records with an e-mail address (EMAIL_ADDRESS): 1, on line 21."
    assert failed.status is TaskStatus.FAILED
    assert failed.error is not None
    assert (failed.error["code"], failed.error["message"]) == ("RECORDS_REFUSED", told)
    assert not service.artifacts.records(failed.id).exists()
    assert await DatasetVersion.all().count() == 0
    await examined(service, parent)
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, service, parent, **wanted)
    assert [(each.code, each.path, each.message) for each in caught.value.findings] == [
        ("RECORDS_REFUSED", ("remove", "strategies"), told)
    ]
    # whose line is named goes first, and is no error any more
    await ask(viewer, service, parent, **wanted, remove=[LineRange(21, 21)])


async def test_an_upload_is_added_by_its_mapping_and_used_up(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    upload = await uploaded(service, viewer, b'{"frage": "Who?", "answer": "You."}\n' * 2)
    mapping = Mapping(
        format=Format.QUESTION_ANSWER, columns={Part.QUESTION: "frage", Part.ANSWER: "answer"}
    )
    begun = await ask(viewer, service, parent, upload_id=upload.id, mapping=mapping)
    with pytest.raises(Conflict):  # it is in use
        await ask(viewer, service, parent, upload_id=upload.id, mapping=mapping)
    assert await Dataset.all().count() == 2
    child = await ingest(service, begun.id)
    assert records(service, child) == [*QA, NEW[0], NEW[0]]
    assert (child.source_name, child.container) == ("sums.jsonl", "JSONL")
    assert (await changes(child)).added == 2
    assert (child.upload_id, await Upload.all().count()) == (None, 0)


async def test_another_dataset_is_added_whole_and_named_for_good(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    other = await make_dataset(viewer, service, name="more", records=NEW)
    begun = await ask(viewer, service, parent, added_dataset_id=other.id)
    for each in (parent, other):
        with pytest.raises(Conflict) as caught:
            await deletion.delete(viewer, each.id, artifacts=service.artifacts)
        assert caught.value.message == f"Of the dataset {each.name!r} 1 other(s) are being made."
    child = await ingest(service, begun.id)
    assert records(service, child) == [*QA, *NEW]
    for each in (parent, other):
        await deletion.delete(viewer, each.id, artifacts=service.artifacts)
    found = await changes(child)
    assert other.sha256 is not None
    assert found.added_dataset == AddedDataset(name="more", sha256=other.sha256)


async def test_bad_records_are_left_out_and_named_where_that_was_asked(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    sent: list[object] = [["no"], NEW[0], {"question": "\ud800\0", "answer": "x"}, NEW[1]]
    child = await derive(viewer, service, parent, records=sent, on_invalid=OnInvalid.DROP)
    assert records(service, child) == [*QA, *NEW]
    rejected = await dataset_files.rejected(child, first=5, after=0, artifacts=service.artifacts)
    assert [(each.line, each.code) for _, each in rejected] == [
        (1, "NOT_AN_OBJECT"),
        (3, "NUL_CHARACTER"),
    ]
    assert names(service.artifacts.dataset(child.id)).isdisjoint({".added.jsonl.partial"})


@pytest.mark.parametrize(
    ("wanted", "path", "code"),
    [
        ({}, "parentId", "NOTHING_CHANGED"),
        ({"remove_duplicates": True}, "parentId", "NOTHING_CHANGED"),
        ({"strategies": [Choice(Code.MOJIBAKE, DROP)]}, "parentId", "NOTHING_CHANGED"),
        (
            {"records": [{"question": 1}], "on_invalid": OnInvalid.DROP},
            "parentId",
            "NOTHING_CHANGED",
        ),
        ({"remove": [LineRange(1, 9), LineRange(5, 20)]}, "remove", "EMPTY_DATASET"),
        ({"strategies": [Choice(Code.NOT_NFC, DROP)]}, "remove", "EMPTY_DATASET"),
        ({"strategies": [Choice(Code.NOT_NFC, ERROR)]}, "remove.strategies", "RECORDS_REFUSED"),
        ({"remove": [LineRange(1, 21)]}, "remove.lines.0", "LINES_OUT_OF_RANGE"),
        ({"remove": [LineRange(0, 1)]}, "remove.lines.0", "LINES_OUT_OF_RANGE"),
        ({"remove": [LineRange(1, 1), LineRange(5, 4)]}, "remove.lines.1", "LINES_OUT_OF_RANGE"),
        (
            {"strategies": [Choice(Code.LEAK, DROP)]},
            "remove.strategies.0",
            "FINDING_UNKNOWN",
        ),
        (
            {"strategies": [Choice(Code.NOT_NFC, DROP), Choice(Code.TOO_LONG, DROP)]},
            "remove.strategies.1",
            "FINDING_UNKNOWN",
        ),
        (
            {"strategies": [Choice(Code.TOO_LONG, TRUNCATE)]},
            "remove.strategies.0",
            "STRATEGY_OF_A_RUN",
        ),
        (
            {"strategies": [Choice(Code.NOT_NFC, TRUNCATE)]},
            "remove.strategies.0",
            "STRATEGY_NOT_OFFERED",
        ),
        (
            {"strategies": [Choice(Code.NOT_NFC, DROP), Choice(Code.NOT_NFC, ERROR)]},
            "remove.strategies.1",
            "FINDING_TWICE",
        ),
        ({"remove": [LineRange(1, 2)], "name": " "}, "name", "NAME"),
        ({"remove": [LineRange(1, 2)], "description": "a\0"}, "description", "DESCRIPTION"),
        ({"records": [*NEW, {"question": "Who?"}]}, "add.records.2", "MISSING_FIELD"),
        ({"records": [{"text": "It rains."}]}, "add.records", "DATA_TYPE_DIFFERS"),
        ({"records": NEW, "mapping": TEXT}, "mapping", "DATA_TYPE_DIFFERS"),
        ({"remove": [LineRange(1, 2)], "mapping": TEXT}, "mapping", "MAPPING_WITHOUT_ROWS"),
    ],
)
async def test_what_can_be_told_at_once_is_refused_at_once(
    service: Service, viewer: Viewer, wanted: dict[str, Any], path: str, code: str
) -> None:
    rows = [{**each, "question": f"e\u0301 {each['question']}"} for each in QA]
    parent = await make_dataset(viewer, service, records=rows)
    await examined(service, parent)
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, service, parent, **wanted)
    found = [(".".join(each.path), each.code) for each in caught.value.findings]
    assert found == [(path, code)]
    assert (await Dataset.all().count(), await Derivation.all().count()) == (1, 0)


async def test_what_nobody_has_looked_for_is_not_foreseen(service: Service, viewer: Viewer) -> None:
    parent = await make_dataset(viewer, service)
    wanted = [Choice(Code.NOT_NFC, DROP)]
    begun = await ask(viewer, service, parent, strategies=wanted)
    assert begun.status is TaskStatus.QUEUED


@pytest.mark.parametrize("which", ["parent", "other"])
async def test_a_dataset_that_is_not_ready_is_neither_derived_from_nor_added(
    service: Service, viewer: Viewer, which: str
) -> None:
    made = {name: await make_dataset(viewer, service) for name in ("parent", "other")}
    await Dataset.filter(id=made[which].id).update(status=TaskStatus.RUNNING, data_type=None)
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, service, made["parent"], added_dataset_id=made["other"].id)
    path = ("parentId",) if which == "parent" else ("add", "datasetId")
    assert [(each.code, each.path) for each in caught.value.findings] == [
        ("DATASET_NOT_READY", path)
    ]


async def test_only_records_of_the_same_type_are_added(service: Service, viewer: Viewer) -> None:
    parent = await make_dataset(viewer, service)
    texts = await make_dataset(viewer, service, data_type=None, records=[{"text": "It rains."}])
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, service, parent, added_dataset_id=texts.id)
    assert [(each.code, each.path) for each in caught.value.findings] == [
        ("DATA_TYPE_DIFFERS", ("add", "datasetId"))
    ]


async def test_nobody_uses_anothers_dataset_but_an_admin(service: Service, viewer: Viewer) -> None:
    parent = await make_dataset(viewer, service)
    stranger = await make_viewer()
    with pytest.raises(NotFound):
        await ask(stranger, service, parent, records=NEW)
    own = await make_dataset(stranger, service)
    for given in ({"added_dataset_id": parent.id}, {"upload_id": uuid4()}):
        with pytest.raises(NotFound):
            await ask(stranger, service, own, **given)
    assert await Derivation.all().count() == 0
    admin = await make_viewer(Role.ADMIN)
    child = await ask(admin, service, parent, records=NEW)
    assert child.owner_id == admin.user_id


async def test_a_dataset_deleted_before_it_was_made_frees_its_parent(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    begun = await ask(viewer, service, parent, records=NEW)
    await deletion.delete(viewer, begun.id, artifacts=service.artifacts)
    assert await Derivation.all().count() == 0
    failed = await ask(viewer, service, parent, records=NEW)
    await Dataset.filter(id=failed.id).update(status=TaskStatus.FAILED)
    await deletion.delete(viewer, parent.id, artifacts=service.artifacts)
    assert await Dataset.all().count() == 1


async def test_of_a_derivation_and_a_deletion_at_once_one_is_done(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    made, deleted = await asyncio.gather(
        ask(viewer, service, parent, records=NEW),
        deletion.delete(viewer, parent.id, artifacts=service.artifacts),
        return_exceptions=True,
    )
    if isinstance(made, BaseException):
        assert isinstance(made, NotFound)
        assert not isinstance(deleted, BaseException)
        assert await Dataset.all().count() == 0
    else:
        assert isinstance(deleted, Conflict)
        assert service.artifacts.records(parent.id).exists()


def test_a_line_is_marked_once_however_often_it_is_named() -> None:
    named = [LineRange(3, 5), LineRange(1, 1), LineRange(4, 4), LineRange(5, 8)]
    assert list(marked(10, named)) == [0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert covered(named) == 7
    many = [LineRange(1, 1_000_000)] * 100_000  # without end, if marked each time
    assert marked(1_000_000, many).count(1) == covered(many) == 1_000_000


def test_the_records_left_out_are_named_up_to_a_limit() -> None:
    every_other = [LineRange(n, n) for n in range(1, 2 * MAX_RANGES + 2, 2)]
    found = changes_of(marked(2 * MAX_RANGES + 2, every_other), (), 0)
    assert (found.removed, len(found.removed_lines)) == (MAX_RANGES + 1, MAX_RANGES)
    assert (found.removed_lines[-1], found.removed_lines_complete) == ((1999, 1999), False)
    all_but_one = changes_of(marked(2 * MAX_RANGES + 2, every_other[1:]), (), 0)
    assert (all_but_one.removed, all_but_one.removed_lines_complete) == (MAX_RANGES, True)
