"""Submitting, looking at and cancelling jobs."""

from uuid import uuid4

import pytest

from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import BaseModel, JobEvent, TrainingJob
from jobs.runs import control, lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import JobStatus, TaskStatus
from tests.factories import make_dataset, make_job, make_model
from tests.jobs.stage import make_viewer
from training.config import TrainingType


async def test_a_submitted_job_is_queued_with_its_whole_config_and_first_event(
    service: Service,
) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service, epochs=2)
    stored = await TrainingJob.get(id=job.id)
    assert stored.status is JobStatus.QUEUED
    assert stored.config["epochs"] == 2
    assert stored.config["learning_rate"] == 2e-4
    assert stored.last_seq == 1
    event = await JobEvent.get(job_id=job.id)
    assert (event.seq, event.kind) == (1, "StatusChanged")
    assert event.data == {"from": None, "to": "QUEUED", "reason": "submitted"}


async def test_cancelling_a_waiting_job_ends_it_at_once(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    cancelled = await control.cancel(viewer, job.id, queue=service.queue)
    assert cancelled.status is JobStatus.CANCELLED
    kinds = await JobEvent.filter(job_id=job.id).order_by("seq").values_list("kind", flat=True)
    assert kinds == ["StatusChanged", "StatusChanged", "JobFinished"]
    with pytest.raises(Conflict):
        await control.cancel(viewer, job.id, queue=service.queue)


async def test_another_users_job_is_not_found(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    stranger = await make_viewer()
    with pytest.raises(NotFound):
        await control.cancel(stranger, job.id, queue=service.queue)
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.QUEUED


@pytest.mark.parametrize(
    ("choice", "value"),
    [("learning_rate", -1.0), ("lora_rank", 0), ("batch_size", 0), ("epochs", 10**9)],
)
async def test_a_config_that_cannot_run_is_refused_and_leaves_no_row(
    service: Service, choice: str, value: object
) -> None:
    viewer = await make_viewer()
    with pytest.raises(InvalidInput) as caught:
        await make_job(viewer, service, **{choice: value})
    assert str(value) in caught.value.findings[0].message
    assert await TrainingJob.all().count() == 0


async def test_validation_refuses_what_submission_refuses(service: Service) -> None:
    viewer = await make_viewer()
    model, dataset = await make_model(viewer), await make_dataset(viewer, service)
    await BaseModel.filter(id=model.id).update(status=TaskStatus.RUNNING)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, {})
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    assert not validation.valid
    assert [(each.code, each.path) for each in validation.findings][:1] == [
        ("MODEL_NOT_READY", ("modelId",))
    ]
    with pytest.raises(Conflict):
        await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
    assert await TrainingJob.all().count() == 0


async def test_validation_names_an_unknown_dataset_by_its_path(service: Service) -> None:
    viewer = await make_viewer()
    model = await make_model(viewer)
    request = RunRequest(model.id, uuid4(), TrainingType.LORA, {})
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    assert [(each.code, each.path) for each in validation.findings] == [
        ("NOT_FOUND", ("datasetId",))
    ]
