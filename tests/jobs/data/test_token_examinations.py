"""Datasets examined because somebody asks, and what a run is told of it."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from tortoise.exceptions import DoesNotExist

from jobs.access import Viewer
from jobs.data import deletion
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import AuditEntry, BaseModel, Dataset, Examination, TokenExamination
from jobs.preview import examining
from jobs.preview.examining import ExaminationRequest, examine
from jobs.runs import lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import make_dataset, make_model, make_viewer
from tests.ingesting import examine_tokens
from tests.tiny_model import make_tiny_model
from training.config import TrainingType
from training.data.doctor.checks import Code
from training.data.doctor.kept import keep_marks
from training.data.doctor.marks import Marks
from training.data.doctor.report import TokenReport, finding
from training.data.doctor.spec import KEPT
from training.data.doctor.tokens import RowLengths
from training.errors import StopTokenNotTrained
from training.events import Failure
from training.findings import Finding, Severity

REPORT = TokenReport(
    statistics=RowLengths(64).statistics(),
    findings=tuple(
        finding(code, 3, [4, 5, 6])
        for code in (
            Code.TOO_LONG,
            Code.ANSWER_CUT,
            Code.NO_TRAINED_TOKEN,
            Code.NO_TRAINED_TOKEN_LEFT,
            Code.STOP_TOKEN_NOT_TRAINED,
            Code.BOUNDARY_MERGE,
        )
    ),
    patterns=(),
    stop_tokens=("<|im_end|>",),
)


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # opens the database
    return await make_viewer()


@pytest.fixture
async def dataset(viewer: Viewer, service: Service) -> Dataset:
    return await make_dataset(viewer, service)


@pytest.fixture
async def model(viewer: Viewer) -> BaseModel:
    """Whose files are on no machine."""
    return await make_model(viewer)


async def asked(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel | None, **choices: object
) -> Dataset | TokenExamination:
    request = ExaminationRequest(dataset.id, model and model.id, choices)
    return await examine(viewer, request, artifacts=service.artifacts, queue=service.queue)


async def in_tokens(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel, **choices: object
) -> TokenExamination:
    row = await asked(viewer, service, dataset, model, **choices)
    assert isinstance(row, TokenExamination)
    return row


async def told(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel, **choices: object
) -> lifecycle.Validation:
    """What a run would be told."""
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, choices)
    return await lifecycle.validate(
        viewer, request, settings=service.settings, dry_runs=service.dry_runs
    )


def codes(findings: tuple[Finding, ...]) -> set[str]:
    return {each.code for each in findings} & {*Code}


async def test_who_asks_the_same_gets_the_same_examination(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    rows = await asyncio.gather(
        *(in_tokens(viewer, service, dataset, model) for _ in range(4)),
        in_tokens(viewer, service, dataset, model, max_sequence_length=1024),
        in_tokens(viewer, service, dataset, model, train_on="ASSISTANT", chat_template=None),
    )
    assert {row.id for row in rows} == {rows[0].id}
    assert (rows[0].status, rows[0].max_sequence_length) == (TaskStatus.QUEUED, 1024)
    others = [
        await in_tokens(viewer, service, dataset, model, **choice)
        for choice in (
            {"max_sequence_length": 64},
            {"train_on": "ALL"},
            {"chat_template": "CHATML"},
        )
    ]
    assert len({rows[0].id, *(row.id for row in others)}) == 4
    assert await AuditEntry.filter(action="examineDataset").count() == 4


async def test_one_that_failed_is_queued_again_and_one_that_is_ready_is_not(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    row = await in_tokens(viewer, service, dataset, model)
    ended = {"attempt": 3, "crashes": 2, "progress": 40.0, "error": {"code": "X", "message": "x"}}
    await TokenExamination.filter(id=row.id).update(status=TaskStatus.FAILED, **ended)
    again = await in_tokens(viewer, service, dataset, model)
    assert (again.id, again.status, again.progress) == (row.id, TaskStatus.QUEUED, 0.0)
    assert (again.error, again.crashes, again.attempt) == (None, 0, 3)
    folder = service.artifacts.token_examination(row.id)
    folder.mkdir(parents=True)
    keep_marks(Marks(np.arange(1, 3, dtype=np.uint32), np.zeros(2, np.uint64)), folder)
    await TokenExamination.filter(id=row.id).update(status=TaskStatus.READY)
    assert (await in_tokens(viewer, service, dataset, model)).status is TaskStatus.READY


async def test_what_cannot_be_examined_is_refused_and_leaves_nothing(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    waiting = await Dataset.create(name="w", owner_id=viewer.user_id, status=TaskStatus.QUEUED)
    unseen = await BaseModel.create(name="unseen", source="/nowhere", owner_id=viewer.user_id)
    stranger = await make_viewer()
    cases: list[tuple[type[Exception], Viewer, Dataset, BaseModel | None, dict[str, object]]] = [
        (Conflict, viewer, waiting, model, {}),
        (Conflict, viewer, waiting, None, {}),
        (Conflict, viewer, dataset, unseen, {}),
        (NotFound, stranger, dataset, model, {}),
        (NotFound, viewer, dataset, BaseModel(id=uuid4()), {}),
        (InvalidInput, viewer, dataset, None, {"train_on": "ALL"}),
        (InvalidInput, viewer, dataset, model, {"max_sequence_length": 0}),
        (InvalidInput, viewer, dataset, model, {"chat_template": "NONE_SUCH"}),
    ]
    for error, who, data, base, choices in cases:
        with pytest.raises(error):
            await asked(who, service, data, base, **choices)
    with pytest.raises(InvalidInput) as refused:
        await asked(viewer, service, dataset, model, max_sequence_length=10**9)
    [found] = refused.value.findings
    assert found.path == ("maxSequenceLength",)
    assert found.suggested_patch == {"maxSequenceLength": 1024}
    assert await TokenExamination.all().count() == 0


async def test_only_who_sees_the_dataset_sees_its_examinations(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    row = await in_tokens(viewer, service, dataset, model)
    assert (await examining.get(viewer, row.id)).id == row.id
    for who, key in ((await make_viewer(), row.id), (viewer, uuid4())):
        with pytest.raises(NotFound) as missing:
            await examining.get(who, key)
        assert (missing.value.kind, missing.value.key) == ("token examination", key)


async def test_the_look_at_the_records_is_taken_again_where_it_came_to_nothing(
    viewer: Viewer, service: Service, dataset: Dataset
) -> None:
    rows, kept = (
        Examination.filter(id=dataset.id),
        service.artifacts.examination(dataset.id) / KEPT,
    )

    async def after(**columns: Any) -> Examination:
        await rows.update(**columns)
        assert await asked(viewer, service, dataset, None) == dataset
        return await rows.get()

    for status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
        assert (await after(status=status, attempt=1)).status is status
    failed = await after(status=TaskStatus.FAILED, error={"code": "X", "message": "x"}, crashes=2)
    assert (failed.status, failed.error, failed.crashes) == (TaskStatus.QUEUED, None, 0)
    before_it_was_kept = await after(status=TaskStatus.READY, report={"old": 1}, progress=100.0)
    assert (before_it_was_kept.status, before_it_was_kept.progress) == (TaskStatus.QUEUED, 0.0)
    assert before_it_was_kept.report == {"old": 1}
    kept.parent.mkdir(parents=True)
    np.savez(kept, lines=np.arange(9))
    assert (await after(status=TaskStatus.READY)).status is TaskStatus.READY
    kept.write_bytes(kept.read_bytes()[:-9])
    assert (await after(status=TaskStatus.READY)).status is TaskStatus.QUEUED
    await rows.delete()
    assert (await after()).status is TaskStatus.QUEUED


async def test_a_run_is_told_what_concerns_it(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    assert codes((await told(viewer, service, dataset, model)).findings) == set()
    row = await in_tokens(viewer, service, dataset, model, max_sequence_length=64)
    await TokenExamination.filter(id=row.id).update(
        status=TaskStatus.READY, report=REPORT.model_dump(mode="json")
    )
    any_length = {"STOP_TOKEN_NOT_TRAINED", "BOUNDARY_MERGE", "NO_TRAINED_TOKEN"}
    other = await told(viewer, service, dataset, model)
    assert codes(other.findings) == any_length
    assert (other.valid, other.dry_run.examinations) == (False, ())
    same = await told(viewer, service, dataset, model, max_sequence_length=64)
    assert codes(same.findings) == {each.code for each in REPORT.findings}
    assert [each.id for each in same.dry_run.examinations] == [row.id]
    [stop] = [each for each in same.findings if each.code == "STOP_TOKEN_NOT_TRAINED"]
    assert (stop.severity, stop.path) == (Severity.ERROR, ("datasetId",))
    assert stop.message.endswith("3. The first is on line 4.")
    dropping = {"max_sequence_length": 64, "on_too_long": "DROP"}
    assert "ANSWER_CUT" not in codes(
        (await told(viewer, service, dataset, model, **dropping)).findings
    )
    for choices in ({"train_on": "ALL"}, {"chat_template": "CHATML"}):
        elsewhere = await told(viewer, service, dataset, model, **choices)
        assert codes(elsewhere.findings) == set()


async def test_what_ended_an_examination_would_end_the_run_and_refuses_it(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    row = await in_tokens(viewer, service, dataset, model)
    for failure, code in (
        (StopTokenNotTrained(7).failure(), "STOP_TOKEN_NOT_TRAINED"),
        (Failure(code="WORKER_LOST", message="It died."), None),
    ):
        error = failure.model_dump(mode="json")
        await TokenExamination.filter(id=row.id).update(status=TaskStatus.FAILED, error=error)
        validation = await told(viewer, service, dataset, model)
        found = [each for each in validation.findings if each.severity is Severity.ERROR]
        assert [each.code for each in found] == ([code] if code else [])
        if code is not None:
            assert (found[0].path, "record 7" in found[0].message) == (("chatTemplate",), True)


async def test_a_validation_dataset_is_told_of_at_its_own_place(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel
) -> None:
    tested = await make_dataset(viewer, service, records=[{"question": "Why?", "answer": "So."}])
    row = await in_tokens(viewer, service, tested, model)
    await TokenExamination.filter(id=row.id).update(
        status=TaskStatus.READY, report=REPORT.model_dump(mode="json")
    )
    request = RunRequest(
        model.id, dataset.id, TrainingType.LORA, {}, validation_dataset_id=tested.id
    )
    validation = await lifecycle.validate(
        viewer, request, settings=service.settings, dry_runs=service.dry_runs
    )
    places = {each.path for each in validation.findings if each.code == "BOUNDARY_MERGE"}
    assert places == {("data", "validationDatasetId")}
    assert [each.id for each in validation.dry_run.examinations] == [row.id]


@pytest.mark.slow
async def test_a_dataset_that_is_deleted_while_its_tokens_are_examined_leaves_nothing(
    viewer: Viewer, service: Service, dataset: Dataset, tmp_path: Path
) -> None:
    model = await make_model(viewer, source=str(make_tiny_model(tmp_path / "tiny")))
    row = await in_tokens(viewer, service, dataset, model)
    done = await in_tokens(viewer, service, dataset, model, max_sequence_length=64)
    ready = await examine_tokens(service, done.id)
    assert (ready.status, ready.progress, ready.error) == (TaskStatus.READY, 100.0, None)
    assert TokenReport.model_validate(ready.report).statistics.rows == dataset.record_count
    assert (service.artifacts.dataset(dataset.id) / "tokens").is_dir()
    running = asyncio.create_task(examine_tokens(service, row.id))
    while (await TokenExamination.get(id=row.id)).status is TaskStatus.QUEUED:
        await asyncio.sleep(0.005)
    deleted = await deletion.delete(viewer, dataset.id, artifacts=service.artifacts)
    with pytest.raises(DoesNotExist):
        await running
    assert deleted.deleted_rows == 4
    assert await TokenExamination.all().count() == 0
    for kind in ("datasets", "token-examinations"):
        assert list((service.artifacts.root / kind).iterdir()) == []
