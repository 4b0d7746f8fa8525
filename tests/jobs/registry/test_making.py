"""The version that a job makes: there while it is trained, and ended with its job."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import pytest

from jobs.access import Viewer
from jobs.errors import Conflict, InUse, InvalidInput, LeaseLost
from jobs.execution.claims import claim, complete, end, pause, release
from jobs.models import BaseModel, ModelVersion, TrainingJob
from jobs.pages import Page
from jobs.registry import activation, evaluations, exports, generations, versions
from jobs.registry.activation import Wish
from jobs.registry.exports import ExportRequest
from jobs.registry.generations import Wanted
from jobs.runs import control, lifecycle
from jobs.runs.history import Lease, move
from jobs.runs.lifecycle import RunRequest
from jobs.runs.starts import StartRequest
from jobs.service import Service
from jobs.status import JobStatus, VersionStatus
from tests.factories import make_dataset, make_job, make_model, make_viewer
from tests.jobs.stage import RESULT
from training.config import StartKind, TrainingType
from training.events import Failure
from training.export.spec import ExportFormat

S = JobStatus
FIRST = Lease("worker", 1)
LACKING = Failure(code="OUT_OF_MEMORY", message="It lacks 9 GiB.", remedy="less")

Deed = Callable[[Viewer, Service, UUID], Awaitable[object]]


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def version_of(job: TrainingJob) -> ModelVersion:
    return await ModelVersion.get(job_id=job.id)


async def completed(service: Service, job: TrainingJob, lease: Lease) -> None:
    """Train it to the end, with a file for a model."""
    folder = service.artifacts.job(job.id) / "model"
    service.artifacts.write(folder / "weights", b"12345")
    await complete(job, lease, RESULT, service.artifacts.relative(folder))


async def test_a_version_is_there_from_the_first_attempt_and_ready_after_the_last(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    assert await ModelVersion.all().count() == 0  # nobody trains it yet
    await claim(job.id, "worker", 30)
    made = await version_of(job)
    assert (made.version, made.status, made.config) == ("v1.0.0", "TRAINING", job.config)
    assert (made.path, made.result, made.accuracy, made.error) == (None, None, None, None)
    await release(job.id, FIRST, reason="its child process died", crashed=True)
    await claim(job.id, "worker", 30)
    await control.pause(viewer, job.id, queue=service.queue)
    await pause(job.id, Lease("worker", 2), reason="paused as asked")
    assert (await version_of(job)).status is VersionStatus.TRAINING
    await control.resume(viewer, job.id, queue=service.queue)
    await claim(job.id, "other", 30)
    await TrainingJob.filter(id=job.id).update(samples=[{"prompt": "1+1?"}])
    with pytest.raises(LeaseLost):
        await completed(service, job, Lease("worker", 2))
    assert (await version_of(job)).status is VersionStatus.TRAINING
    await completed(service, job, Lease("other", 3))
    ready = await version_of(job)
    assert (ready.id, ready.version, ready.status) == (made.id, "v1.0.0", "READY")
    assert (ready.accuracy, ready.result) == (0.75, RESULT.model_dump(mode="json"))
    assert (ready.path, ready.samples) == (f"jobs/{job.id}/model", [{"prompt": "1+1?"}])
    with pytest.raises(LeaseLost):
        await completed(service, job, Lease("other", 3))


async def test_nothing_completes_whose_version_has_ended(service: Service, viewer: Viewer) -> None:
    job = await make_job(viewer, service)
    await claim(job.id, "worker", 30)
    await ModelVersion.filter(job_id=job.id).update(status=VersionStatus.FAILED)
    with pytest.raises(LeaseLost, match="makes no version"):
        await completed(service, job, FIRST)
    assert (await TrainingJob.get(id=job.id)).status is S.PREPARING


async def test_a_version_fails_with_its_job_and_says_why(service: Service, viewer: Viewer) -> None:
    failed, stopped, resting, waiting = [await make_job(viewer, service) for _ in range(4)]
    for job in (failed, stopped, resting):
        await claim(job.id, "worker", 30)
    await end(failed.id, FIRST, S.FAILED, reason="the training failed", error=LACKING)
    await control.cancel(viewer, stopped.id, queue=service.queue)
    await end(stopped.id, FIRST, S.CANCELLED, reason="stopped as asked")
    await control.pause(viewer, resting.id, queue=service.queue)
    await pause(resting.id, FIRST, reason="paused as asked")
    for job in (resting, waiting):
        await control.cancel(viewer, job.id, queue=service.queue)
    found = [await version_of(job) for job in (failed, stopped, resting)]
    assert {each.status for each in found} == {VersionStatus.FAILED}
    codes = [each.error and each.error["code"] for each in found]
    assert codes == ["OUT_OF_MEMORY", "JOB_CANCELLED", "JOB_CANCELLED"]
    assert not await ModelVersion.exists(job_id=waiting.id)
    assert (await BaseModel.get(id=waiting.model_id)).version_counter == 0


async def jobs_of_one_model(viewer: Viewer, service: Service, count: int) -> list[TrainingJob]:
    """QUEUED jobs over one model and one dataset."""
    model, dataset = await make_model(viewer), await make_dataset(viewer, service)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, {})
    return [
        await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
        for _ in range(count)
    ]


async def numbers_of_versions_begun_at_once(viewer: Viewer, service: Service) -> list[str]:
    """The versions' names of five jobs of one model, each claimed by two workers at once."""
    jobs = await jobs_of_one_model(viewer, service, 5)
    claims = [claim(job.id, f"worker-{at}", 30) for job in jobs for at in range(2)]
    taken = await asyncio.gather(*claims)
    assert sum(job is not None for job in taken) == 5
    rows = await ModelVersion.filter(model_id=jobs[0].model_id).order_by("version")
    return [row.version for row in rows]


async def test_versions_begun_at_once_have_numbers_of_their_own(
    service: Service, viewer: Viewer
) -> None:
    names = await numbers_of_versions_begun_at_once(viewer, service)
    assert names == [f"v1.{number}.0" for number in range(5)]


async def _evaluate(viewer: Viewer, service: Service, key: UUID) -> object:
    dataset = await make_dataset(viewer, service)
    return await evaluations.request(viewer, key, dataset.id, options={}, queue=service.queue)


async def _export(viewer: Viewer, service: Service, key: UUID) -> object:
    wanted = ExportRequest(ExportFormat.SAFETENSORS)
    return await exports.request(viewer, key, wanted, queue=service.queue, lease_seconds=30)


async def _ask(viewer: Viewer, service: Service, key: UUID) -> object:
    wanted = Wanted([{"role": "USER", "content": "1+1?"}], {})
    return await generations.request(viewer, key, wanted, queue=service.queue)


async def _activate(viewer: Viewer, _service: Service, key: UUID) -> object:
    return await activation.activate(viewer, key, Wish("now", force=True))


async def _compare(viewer: Viewer, _service: Service, key: UUID) -> object:
    return await versions.compare(viewer, key, key)


DEEDS: Mapping[str, Deed] = {
    "evaluate": _evaluate,
    "export": _export,
    "ask": _ask,
    "activate": _activate,
    "compare": _compare,
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_what_takes_a_version_takes_a_trained_one(
    service: Service, viewer: Viewer, deed: str
) -> None:
    job = await make_job(viewer, service)
    await claim(job.id, "worker", 30)
    version = await version_of(job)
    with pytest.raises(InUse) as early:
        await DEEDS[deed](viewer, service, version.id)
    assert (early.value.message, early.value.remedy, early.value.job_ids) == (
        "Version v1.0.0 is still TRAINING.",
        "Wait until its job is COMPLETED.",
        (job.id,),
    )
    await end(job.id, FIRST, S.FAILED, reason="the training failed", error=LACKING)
    with pytest.raises(Conflict) as late:
        await DEEDS[deed](viewer, service, version.id)
    assert (late.value.message, late.value.remedy) == (
        "Version v1.0.0 has FAILED, so there is no model. It lacks 9 GiB.",
        "Choose one that is READY, ACTIVE or DEPRECATED.",
    )


async def test_no_run_starts_from_a_version_that_is_not_trained(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    await claim(job.id, "worker", 30)
    start = StartRequest(StartKind.VERSION, (await version_of(job)).id)
    assert job.dataset_id is not None
    request = RunRequest(job.model_id, job.dataset_id, TrainingType.LORA, {}, start)
    asked: dict[str, Any] = {"settings": service.settings, "queue": service.queue}
    with pytest.raises(InvalidInput) as refused:
        await lifecycle.submit(viewer, request, **asked)
    found = [each for each in refused.value.findings if each.code == "START_NOT_TRAINED"]
    assert [(each.path, each.message) for each in found] == [
        (("from",), "Version v1.0.0 is still TRAINING.")
    ]
    job = await move(job.id, S.VALIDATING)
    await completed(service, job, FIRST)
    assert (await lifecycle.submit(viewer, request, **asked)).start_name == "v1.0.0"


async def test_a_failed_version_is_deleted_and_one_in_training_is_not(
    service: Service, viewer: Viewer
) -> None:
    job, other = await jobs_of_one_model(viewer, service, 2)
    await claim(job.id, "worker", 30)
    version = await version_of(job)
    with pytest.raises(InUse, match=r"v1\.0\.0 is still TRAINING") as refused:
        await versions.delete(viewer, version.id, artifacts=service.artifacts)
    assert refused.value.job_ids == (job.id,)
    await end(job.id, FIRST, S.FAILED, reason="the training failed", error=LACKING)
    deleted = await versions.delete(viewer, version.id, artifacts=service.artifacts)
    assert (deleted.exports, deleted.freed_bytes) == (0, 0)
    await claim(other.id, "worker", 30)
    assert (await version_of(other)).version == "v1.1.0"  # no number is given twice


async def test_versions_are_listed_by_status(service: Service, viewer: Viewer) -> None:
    failed, going = await jobs_of_one_model(viewer, service, 2)
    for job in (failed, going):
        await claim(job.id, "worker", 30)
    await end(failed.id, FIRST, S.FAILED, reason="the training failed", error=LACKING)
    name = (await BaseModel.get(id=going.model_id)).name

    async def listed(status: VersionStatus | None) -> list[str]:
        found = await versions.listing(viewer, name, Page(), status=status)
        assert await found.count() == len(found.rows)
        return [row.version for row in found.rows]

    assert await listed(None) == ["v1.1.0", "v1.0.0"]
    assert await listed(VersionStatus.FAILED) == ["v1.0.0"]
    assert await listed(VersionStatus.TRAINING) == ["v1.1.0"]
    assert await listed(VersionStatus.READY) == []
