"""Evaluations as tasks: asked for, told to a child, kept, and ended with what they need."""

import json

import pytest

from jobs.access import Viewer
from jobs.data import deletion
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.execution.tasks import perform
from jobs.models import Dataset, Evaluation, ModelVersion
from jobs.queue import QUEUE_NAME, Work
from jobs.registry import evaluations, versions
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import make_dataset, make_viewer
from tests.jobs.execution.test_tasks import version_of
from tests.jobs.stage import Step, write_script
from training.config import StartKind
from training.evaluation.spec import (
    PREDICTIONS,
    EvaluationResult,
    EvaluationSpec,
    Figures,
    Prediction,
)

pytestmark = pytest.mark.usefixtures("scripted")

MEASURED = EvaluationResult(
    records=2,
    trained_tokens=9,
    dropped=0,
    dropped_lines=(),
    tuned=Figures(loss=0.5, perplexity=1.65, token_accuracy=0.75),
    base=None,
    seen=None,
    unlabelled="There are 2 different answers in 2 records.",
    seconds=0.25,
)
SAID = [
    Prediction(line=line, prompt=f"{line}?", expected="yes", tuned="no", tuned_exact=False)
    for line in (1, 3, 4)
]


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def asked(
    viewer: Viewer, service: Service, *script: Step, **options: object
) -> tuple[Evaluation, ModelVersion, Dataset]:
    version = await version_of(viewer, service)
    dataset = await make_dataset(viewer, service, name="tests")
    found = await evaluations.request(
        viewer, version.id, dataset.id, options=options, queue=service.queue
    )
    write_script(service.artifacts.dataset(dataset.id), list(script))
    return found, version, dataset


async def perform_it(service: Service, evaluation: Evaluation) -> Evaluation:
    await perform(
        Work.EVALUATE,
        evaluation.id,
        worker_id="worker",
        settings=service.settings,
        artifacts=service.artifacts,
    )
    return await Evaluation.get(id=evaluation.id)


async def test_a_child_is_told_all_and_its_figures_are_kept(
    service: Service, viewer: Viewer
) -> None:
    answer = {"result": MEASURED.model_dump(mode="json")}
    asked_for, version, dataset = await asked(viewer, service, ["answer", answer], max_records=7)
    hints = await service.queue.redis.zrange(QUEUE_NAME, 0, -1)
    assert f"evaluate:{asked_for.id}:1".encode() in hints
    ready = await perform_it(service, asked_for)
    assert (ready.status, ready.progress, ready.error) == (TaskStatus.READY, 100.0, None)
    assert EvaluationResult.model_validate(ready.result) == MEASURED
    folder = service.artifacts.evaluation(ready.id)
    spec = EvaluationSpec.model_validate_json((folder / "evaluation.json").read_bytes())
    assert spec.run.dataset_path == str(service.artifacts.records(dataset.id))
    assert spec.run.dataset_sha256 == dataset.sha256
    assert spec.run.start is not None
    assert (spec.run.start.kind, spec.run.start.name) == (StartKind.VERSION, version.version)
    assert spec.run.config.model_dump(mode="json") == version.config
    assert (spec.options.max_records, spec.options.max_new_tokens) == (7, 128)
    assert spec.trained_on is not None
    assert spec.trained_on != spec.run.dataset_path
    lines = "".join(each.model_dump_json() + "\n" for each in SAID)
    (folder / PREDICTIONS).write_text(lines)
    page = await evaluations.predictions(ready, after=1, first=1, artifacts=service.artifacts)
    assert page == ([(2, SAID[1])], 3)
    past = await evaluations.predictions(ready, after=3, first=5, artifacts=service.artifacts)
    assert past == ([], 3)


async def test_what_cannot_be_measured_is_refused_at_once(service: Service, viewer: Viewer) -> None:
    version = await version_of(viewer, service)
    dataset = await make_dataset(viewer, service)
    stranger = await make_viewer()
    for who, version_id, dataset_id in (
        (stranger, version.id, dataset.id),
        (viewer, dataset.id, dataset.id),
        (viewer, version.id, version.id),
    ):
        with pytest.raises(NotFound):
            await evaluations.request(who, version_id, dataset_id, options={}, queue=service.queue)
    with pytest.raises(InvalidInput) as refused:
        await evaluations.request(
            viewer, version.id, dataset.id, options={"max_new_tokens": 0}, queue=service.queue
        )
    assert refused.value.findings[0].path == ("options", "maxNewTokens")
    await Dataset.filter(id=dataset.id).update(status=TaskStatus.RUNNING)
    with pytest.raises(Conflict, match="still being made"):
        await evaluations.request(viewer, version.id, dataset.id, options={}, queue=service.queue)
    assert await Evaluation.all().count() == 0


async def test_one_whose_dataset_is_deleted_has_failed(service: Service, viewer: Viewer) -> None:
    asked_for, _, dataset = await asked(viewer, service, ["hang"])
    await deletion.delete(viewer, dataset.id, artifacts=service.artifacts)
    failed = await perform_it(service, asked_for)
    assert (failed.status, failed.dataset_id, failed.dataset_name) == (
        TaskStatus.FAILED,
        None,
        "tests",
    )
    assert failed.error is not None
    assert failed.error["code"] == "DATASET_DELETED"


async def test_one_goes_with_its_version(service: Service, viewer: Viewer) -> None:
    asked_for, version, _ = await asked(viewer, service)
    folder = service.artifacts.evaluation(asked_for.id)
    folder.mkdir(parents=True)
    (folder / PREDICTIONS).write_text(json.dumps({}))
    await versions.delete(viewer, version.id, artifacts=service.artifacts)
    assert await Evaluation.all().count() == 0
    assert not folder.exists()
