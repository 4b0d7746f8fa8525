"""Datasets derived from others: what goes, what comes, and what is remembered of both."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jobs import dataset_files, datasets, derivation, lineage
from jobs.access import Role, Viewer
from jobs.comparisons import compare
from jobs.datasets import OnInvalid
from jobs.derivation import Derivation
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import AuditEntry, Dataset, DatasetVersion
from jobs.pages import Page
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import QA, make_dataset
from tests.jobs.stage import make_viewer
from training.data.derivation import MAX_RANGES, Changes, LineRange, marked
from training.data.records import Statistics

NEW = [{"question": "Who?", "answer": "You."}, {"question": "When?", "answer": "Now."}]


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def derive(viewer: Viewer, service: Service, parent: Dataset, **wanted: Any) -> Dataset:
    return await derivation.derive(
        viewer, Derivation(parent.id, **wanted), artifacts=service.artifacts
    )


def records(service: Service, dataset: Dataset) -> list[object]:
    path = service.artifacts.records(dataset.id)
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def folders(service: Service) -> list[Path]:
    return sorted((service.artifacts.root / "datasets").iterdir())


async def changes(dataset: Dataset) -> Changes:
    version = await DatasetVersion.get(dataset_id=dataset.id)
    return Changes.model_validate(version.changes)


async def numbers(dataset: Dataset) -> list[tuple[int, str]]:
    return [(each.number, each.name) for each in await lineage.line_of(dataset)]


async def test_a_derived_dataset_has_what_was_kept_and_then_what_is_new(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service, description="as it came")
    before = service.artifacts.records(parent.id).read_bytes()
    gone = [LineRange(19, 20), LineRange(3, 3), LineRange(2, 4)]
    child = await derive(viewer, service, parent, add=NEW, remove=gone, name="better")
    assert records(service, child) == [QA[0], *QA[4:18], *NEW]
    assert service.artifacts.records(parent.id).read_bytes() == before
    stored = await Dataset.get(id=child.id)
    assert (stored.name, stored.description) == ("better", "as it came")
    assert (stored.data_type, stored.record_count) == (parent.data_type, 17)
    assert stored.size_bytes == service.artifacts.records(child.id).stat().st_size
    assert Statistics.model_validate(stored.statistics).records == 17
    assert await changes(child) == Changes(
        added=2,
        removed=5,
        removed_lines=((2, 4), (19, 20)),
        removed_lines_complete=True,
    )
    entry = await AuditEntry.get(action="deriveDataset")
    assert (entry.subject_id, entry.detail) == (child.id, {"parent": str(parent.id)})


async def test_a_dataset_made_anew_of_the_same_records_has_the_same_hash(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    child = await derive(viewer, service, parent, add=NEW, remove=[LineRange(1, 5)])
    same = await make_dataset(viewer, service, records=[*QA[5:], *NEW])
    assert (child.sha256, child.statistics) == (same.sha256, same.statistics)


async def test_duplicates_go_but_for_the_first_that_stays(service: Service, viewer: Viewer) -> None:
    rows = [QA[0], QA[1], QA[0], QA[2], QA[0], QA[1]]
    parent = await make_dataset(viewer, service, records=rows)
    child = await derive(viewer, service, parent, remove_duplicates=True)
    assert records(service, child) == [QA[0], QA[1], QA[2]]
    second = await derive(
        viewer, service, parent, remove_duplicates=True, remove=[LineRange(1, 2)], add=[QA[0]]
    )
    assert records(service, second) == [QA[0], QA[2], QA[1], QA[0]]  # removal looks at the parent
    assert (await changes(second)).removed_lines == ((1, 2), (5, 5))


def test_a_line_is_marked_once_however_often_it_is_named() -> None:
    named = [LineRange(3, 5), LineRange(1, 1), LineRange(4, 4), LineRange(5, 8)]
    assert list(marked(10, named)) == [0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    many = marked(
        1_000_000, [LineRange(1, 1_000_000)] * 100_000
    )  # without end, if marked each time
    assert many.count(1) == 1_000_000


async def test_the_records_left_out_are_named_up_to_a_limit(
    service: Service, viewer: Viewer
) -> None:
    rows = [{"question": str(n), "answer": "yes"} for n in range(2 * MAX_RANGES + 2)]
    parent = await make_dataset(viewer, service, records=rows)
    every_other = [LineRange(n, n) for n in range(1, len(rows), 2)]
    found = await changes(await derive(viewer, service, parent, remove=every_other))
    assert (found.removed, len(found.removed_lines)) == (MAX_RANGES + 1, MAX_RANGES)
    assert (found.removed_lines[-1], found.removed_lines_complete) == ((1999, 1999), False)
    all_but_one = await changes(await derive(viewer, service, parent, remove=every_other[1:]))
    assert (all_but_one.removed, all_but_one.removed_lines_complete) == (MAX_RANGES, True)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, "NOTHING_CHANGED"),
        ({"remove_duplicates": True}, "NOTHING_CHANGED"),
        ({"add": [{"question": 1}], "on_invalid": OnInvalid.DROP}, "NOTHING_CHANGED"),
        ({"remove": [LineRange(1, 20)]}, "EMPTY_DATASET"),
        ({"remove": [LineRange(1, 21)]}, "LINES_OUT_OF_RANGE"),
        ({"remove": [LineRange(0, 1)]}, "LINES_OUT_OF_RANGE"),
        ({"remove": [LineRange(5, 4)]}, "LINES_OUT_OF_RANGE"),
        ({"remove": [LineRange(1, 2)], "name": " "}, "NAME"),
        ({"remove": [LineRange(1, 2)], "description": "a\0"}, "DESCRIPTION"),
        ({"add": [*NEW, {"question": "Who?"}]}, "MISSING_FIELD"),
    ],
)
async def test_what_cannot_be_derived_is_refused_and_leaves_nothing(
    service: Service, viewer: Viewer, wanted: dict[str, Any], code: str
) -> None:
    parent = await make_dataset(viewer, service)
    with pytest.raises(InvalidInput) as caught:
        await derive(viewer, service, parent, **wanted)
    assert [each.code for each in caught.value.findings] == [code]
    assert (await Dataset.all().count(), await DatasetVersion.all().count()) == (1, 0)
    assert folders(service) == [service.artifacts.dataset(parent.id)]


async def test_bad_records_are_left_out_and_named_where_that_was_asked(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    sent = [NEW[0], {"question": "Who?"}, NEW[1]]
    child = await derive(viewer, service, parent, add=sent, on_invalid=OnInvalid.DROP)
    assert records(service, child) == [*QA, *NEW]
    rejected = await dataset_files.rejected(child, first=5, after=0, artifacts=service.artifacts)
    assert [(number, each.line, each.code) for number, each in rejected] == [
        (1, 2, "MISSING_FIELD")
    ]
    assert child.rejected_count == 1


async def test_versions_are_numbered_along_their_line(service: Service, viewer: Viewer) -> None:
    first = await make_dataset(viewer, service)
    second = await derive(viewer, service, first, remove=[LineRange(1, 1)], name="second")
    third = await derive(viewer, service, second, remove=[LineRange(1, 1)], name="third")
    branch = await derive(viewer, service, first, add=NEW, name="branch")
    assert await numbers(third) == [(1, "sums"), (2, "second"), (3, "third")]
    assert await numbers(branch) == [(1, "sums"), (2, "branch")]
    assert await numbers(await make_dataset(viewer, service)) == [(1, "sums")]
    assert await lineage.number_of(first.id) == 1
    assert await lineage.number_of((await make_dataset(viewer, service)).id) == 1
    page = await lineage.children(viewer, first.id, Page(first=1))
    assert ([each.id for each in page.rows], page.has_next) == ([branch.id], True)


async def test_a_parent_that_is_deleted_is_still_known_to_its_children(
    service: Service, viewer: Viewer
) -> None:
    first = await make_dataset(viewer, service)
    second = await derive(viewer, service, first, remove=[LineRange(1, 1)], name="second")
    third = await derive(viewer, service, second, remove=[LineRange(1, 1)], name="third")
    for each in (first, second):
        await datasets.delete(viewer, each.id, artifacts=service.artifacts)
    assert records(service, third) == QA[2:]
    assert await numbers(third) == [(1, "sums"), (2, "second"), (3, "third")]
    line = await lineage.line_of(third)
    assert [each.dataset_id for each in line] == [None, None, third.id]
    assert [each.sha256 for each in line] == [first.sha256, second.sha256, third.sha256]
    await datasets.delete(viewer, third.id, artifacts=service.artifacts)
    assert await DatasetVersion.all().count() == 0  # nobody descends from them any more


async def test_a_line_is_kept_as_long_as_one_branch_of_it_lives(
    service: Service, viewer: Viewer
) -> None:
    first = await make_dataset(viewer, service)
    left = await derive(viewer, service, first, remove=[LineRange(1, 1)])
    right = await derive(viewer, service, first, add=NEW)
    await datasets.delete(viewer, first.id, artifacts=service.artifacts)
    await datasets.delete(viewer, left.id, artifacts=service.artifacts)
    assert await numbers(right) == [(1, "sums"), (2, "sums")]
    assert await DatasetVersion.all().count() == 2


async def test_nobody_derives_from_anothers_dataset_but_an_admin(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    with pytest.raises(NotFound):
        await derive(await make_viewer(), service, parent, add=NEW)
    admin = await make_viewer(Role.ADMIN)
    child = await derive(admin, service, parent, add=NEW)
    assert child.owner_id == admin.user_id
    assert (await lineage.children(viewer, parent.id, Page())).rows == []
    assert [each.id for each in (await lineage.children(admin, parent.id, Page())).rows] == [
        child.id
    ]


async def test_a_dataset_is_whole_or_not_there_where_its_parent_goes_at_the_same_time(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    made, deleted = await asyncio.gather(
        derive(viewer, service, parent, add=NEW),
        datasets.delete(viewer, parent.id, artifacts=service.artifacts),
        return_exceptions=True,
    )
    assert not isinstance(deleted, BaseException)
    if isinstance(made, BaseException):
        assert isinstance(made, NotFound)
        assert await Dataset.all().count() == 0
        assert folders(service) == []
    else:
        assert records(service, made) == [*QA, *NEW]
        assert folders(service) == [service.artifacts.dataset(made.id)]


async def test_a_derivation_that_fails_on_its_way_leaves_no_file(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    service.artifacts.records(parent.id).write_bytes(b'{"question": "?"}\n' * 20)  # once valid
    with pytest.raises(InvalidInput) as caught:
        await derive(viewer, service, parent, add=NEW)
    assert caught.value.message == "20 records of the dataset are no longer valid."
    assert folders(service) == [service.artifacts.dataset(parent.id)]
    assert await Dataset.all().count() == 1


async def test_a_parent_too_large_for_one_request_is_refused(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    await Dataset.filter(id=parent.id).update(size_bytes=64 * 1024 * 1024 + 1)
    with pytest.raises(InvalidInput) as caught:
        await derive(viewer, service, parent, add=NEW)
    assert [each.code for each in caught.value.findings] == ["FILE_TOO_LARGE"]


async def test_a_dataset_that_is_still_being_made_is_not_derived_from(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    await Dataset.filter(id=parent.id).update(status=TaskStatus.RUNNING, data_type=None)
    with pytest.raises(InvalidInput) as caught:
        await derive(viewer, service, parent, add=NEW)
    assert [(each.code, each.path) for each in caught.value.findings] == [
        ("DATASET_NOT_READY", ("parentId",))
    ]
    with pytest.raises(Conflict):
        await compare(viewer, parent.id, parent.id, artifacts=service.artifacts)
