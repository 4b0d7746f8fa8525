"""Jobs that test with a dataset of their own."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.access import Viewer
from jobs.data import deletion
from jobs.errors import InUse, InvalidInput, NotFound
from jobs.models import Dataset, TrainingJob
from jobs.runs import control, lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import QA, make_dataset, make_model, make_version
from tests.jobs.stage import WHOLE_RUN, attempt, make_viewer, script_job
from training.config import DataType, JobSpec, TrainingType
from training.findings import Severity

TESTS = [{"question": f"What is {n} less {n}?", "answer": "It is 0."} for n in range(6)]


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def request(
    viewer: Viewer, service: Service, held_out: UUID | None, **choices: Any
) -> RunRequest:
    model, dataset = await make_model(viewer), await make_dataset(viewer, service)
    return RunRequest(
        model.id, dataset.id, TrainingType.LORA, choices, validation_dataset_id=held_out
    )


async def submit(viewer: Viewer, service: Service, wanted: RunRequest) -> TrainingJob:
    return await lifecycle.submit(viewer, wanted, settings=service.settings, queue=service.queue)


async def codes(viewer: Viewer, service: Service, wanted: RunRequest) -> list[tuple[str, str]]:
    found = await lifecycle.validate(viewer, wanted, settings=service.settings)
    assert not found.valid
    wrong = [each for each in found.findings if each.severity is Severity.ERROR]
    return [(each.code, ".".join(each.path)) for each in wrong]


async def tests_of(viewer: Viewer, service: Service, **changes: Any) -> Dataset:
    return await make_dataset(viewer, service, name="tests", **{"records": TESTS} | changes)


async def test_a_job_keeps_what_it_tests_with_and_trains_on_all_of_the_other(
    service: Service, viewer: Viewer
) -> None:
    parent = await tests_of(viewer, service)
    held_out = await make_version(viewer, service, parent, TESTS[1:], name="tests")
    job = await submit(viewer, service, await request(viewer, service, held_out.id))
    assert job.config["validation_split"] == 0.0
    assert (job.validation_dataset_id, job.validation_name) == (held_out.id, "tests")
    assert (job.validation_sha256, job.validation_version) == (held_out.sha256, 2)
    assert job.dataset_version == 1


async def test_the_operators_share_gives_way_to_a_dataset(service: Service, viewer: Viewer) -> None:
    held_out = await tests_of(viewer, service)
    wanted = await request(viewer, service, held_out.id)
    settings = service.settings.model_copy(update={"default_validation_split": 0.3})
    validation = await lifecycle.validate(viewer, wanted, settings=settings)
    assert validation.valid
    assert validation.config is not None
    assert validation.config.validation_split == 0.0
    told = validation.forecast
    assert (told.training_records, told.validation_records) == (20, 6)
    assert told.steps == 9  # 8 records a step, 3 epochs


@pytest.mark.usefixtures("scripted")
async def test_a_child_is_told_where_both_lie(service: Service, viewer: Viewer) -> None:
    held_out = await tests_of(viewer, service)
    job = await submit(viewer, service, await request(viewer, service, held_out.id))
    script_job(service, job.id, WHOLE_RUN)
    await attempt(service, job.id)
    folder = service.artifacts.job(job.id)
    spec = JobSpec.model_validate_json((folder / "job.json").read_bytes())
    assert spec.validation_path == str(service.artifacts.records(held_out.id))
    assert spec.dataset_path != spec.validation_path
    examinations = service.artifacts.root / "examinations"
    assert spec.examination_path == str(examinations / str(job.dataset_id))
    assert spec.validation_examination_path == str(examinations / str(held_out.id))


async def test_a_dataset_is_not_deleted_while_an_unfinished_job_tests_with_it(
    service: Service, viewer: Viewer
) -> None:
    held_out = await tests_of(viewer, service)
    job = await submit(viewer, service, await request(viewer, service, held_out.id))
    with pytest.raises(InUse) as caught:
        await deletion.delete(viewer, held_out.id, artifacts=service.artifacts)
    assert caught.value.job_ids == (job.id,)
    assert service.artifacts.records(held_out.id).exists()
    await control.cancel(viewer, job.id, queue=service.queue)
    await deletion.delete(viewer, held_out.id, artifacts=service.artifacts)
    job = await TrainingJob.get(id=job.id)
    assert job.validation_dataset_id is None
    assert (job.validation_name, job.validation_sha256) == ("tests", held_out.sha256)


@pytest.mark.parametrize("stranger", [True, False])
async def test_a_dataset_that_one_may_not_see_is_not_found_by_its_own_place(
    service: Service, viewer: Viewer, stranger: bool
) -> None:
    theirs = await tests_of(await make_viewer(), service)
    wanted = await request(viewer, service, theirs.id if stranger else uuid4())
    assert await codes(viewer, service, wanted) == [("NOT_FOUND", "data.validationDatasetId")]
    with pytest.raises(NotFound) as caught:
        await submit(viewer, service, wanted)
    assert caught.value.kind == "validation dataset"
    assert await TrainingJob.all().count() == 0


async def test_a_dataset_that_cannot_test_is_refused(service: Service, viewer: Viewer) -> None:
    texts = await tests_of(viewer, service, data_type=DataType.TEXT, records=[{"text": "It is 0."}])
    wanted = await request(viewer, service, texts.id)
    place = "data.validationDatasetId"
    assert await codes(viewer, service, wanted) == [("VALIDATION_TYPE_MISMATCH", place)]
    same = await tests_of(viewer, service, records=QA)
    wanted = await request(viewer, service, same.id)
    assert await codes(viewer, service, wanted) == [("VALIDATION_IS_TRAINING", place)]
    held_out = await tests_of(viewer, service)
    wanted = await request(viewer, service, held_out.id, validation_split=0.2)
    assert ("TWO_VALIDATION_SOURCES", "data.validationSplit") in await codes(
        viewer, service, wanted
    )
    with pytest.raises(InvalidInput):
        await submit(viewer, service, wanted)
    assert await TrainingJob.all().count() == 0


async def test_a_dataset_that_is_still_being_made_tests_nothing(
    service: Service, viewer: Viewer
) -> None:
    held_out = await tests_of(viewer, service)
    await Dataset.filter(id=held_out.id).update(status=TaskStatus.RUNNING, data_type=None)
    wanted = await request(viewer, service, held_out.id)
    place = "data.validationDatasetId"
    assert await codes(viewer, service, wanted) == [("DATASET_NOT_READY", place)]
    with pytest.raises(InvalidInput):
        await submit(viewer, service, wanted)
