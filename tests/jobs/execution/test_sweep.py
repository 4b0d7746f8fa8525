"""What dead workers and lost messages left behind."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from jobs.execution.claims import claim
from jobs.execution.sweep import sweep
from jobs.models import BaseModel, TrainingJob
from jobs.queue import QUEUE_NAME, Queue, Work, open_queue
from jobs.runs.history import move
from jobs.service import Service
from jobs.status import HELD, JobStatus
from tests.factories import make_job
from tests.jobs.stage import history, kinds, make_viewer

PAST = timedelta(seconds=-1)
FUTURE = timedelta(seconds=30)


async def held_job(service: Service, status: JobStatus, lease: timedelta, **columns: Any) -> UUID:
    """A job that a worker holds in this state, with a lease that ends so far from now."""
    job = await make_job(await make_viewer(), service)
    await claim(job.id, "dead", 30)
    if status is not JobStatus.PREPARING:
        await move(job.id, status)
    lease_end = datetime.now(UTC) + lease
    await TrainingJob.filter(id=job.id).update(lease_expires_at=lease_end, **columns)
    return job.id


@pytest.mark.parametrize("status", [JobStatus.PREPARING, JobStatus.TRAINING, JobStatus.VALIDATING])
async def test_a_job_of_a_dead_worker_goes_back_to_the_queue(
    service: Service, status: JobStatus
) -> None:
    job_id = await held_job(service, status, PAST)
    await sweep(service.settings, service.queue)
    job = await TrainingJob.get(id=job_id)
    assert (job.status, job.crashes, job.worker_id) == (JobStatus.QUEUED, 1, None)
    assert (await history(job_id))[-1].data == {
        "from": status,
        "to": "QUEUED",
        "reason": "its worker dead has not been heard of",
    }


async def test_a_cancelling_job_of_a_dead_worker_is_cancelled(service: Service) -> None:
    job_id = await held_job(service, JobStatus.CANCELLING, PAST)
    await sweep(service.settings, service.queue)
    assert (await kinds(job_id))[-2:] == ["CANCELLED", "JobFinished"]


async def test_a_pausing_job_of_a_dead_worker_is_paused(service: Service) -> None:
    job_id = await held_job(service, JobStatus.TRAINING, PAST)
    await move(job_id, JobStatus.PAUSING)
    await sweep(service.settings, service.queue)
    job = await TrainingJob.get(id=job_id)
    assert (job.status, job.worker_id, job.crashes) == (JobStatus.PAUSED, None, 0)
    await sweep(service.settings, service.queue)
    assert (await kinds(job_id))[-2:] == ["PAUSING", "PAUSED"]


async def test_a_job_that_lost_too_many_workers_fails(service: Service) -> None:
    crashes = service.settings.max_crashes - 1
    job_id = await held_job(service, JobStatus.TRAINING, PAST, crashes=crashes)
    await sweep(service.settings, service.queue)
    job = await TrainingJob.get(id=job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "WORKER_LOST"
    assert (await kinds(job_id))[-2:] == ["FAILED", "JobFinished"]


@pytest.mark.parametrize("status", sorted(HELD))
async def test_a_job_whose_lease_holds_is_left_alone(service: Service, status: JobStatus) -> None:
    job_id = await held_job(service, status, FUTURE)
    before = await TrainingJob.get(id=job_id)
    await sweep(service.settings, service.queue)
    after = await TrainingJob.get(id=job_id)
    assert (after.status, after.last_seq, after.worker_id) == (status, before.last_seq, "dead")


async def test_forgotten_rows_are_hinted_again(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    model = await BaseModel.create(name="m", source="/nowhere", owner_id=viewer.user_id)
    await service.queue.redis.flushall()
    await sweep(service.settings, service.queue)
    expected = {
        f"train:{job.id}:1",
        f"check_model:{model.id}:1",
        f"examine:{job.dataset_id}:1",
    }
    assert await _hints(service.queue) == expected
    await sweep(service.settings, service.queue)
    assert await _hints(service.queue) == expected


async def _hints(queue: Queue) -> set[str]:
    return {hint.decode() for hint in await queue.redis.zrange(QUEUE_NAME, 0, -1)}


async def test_the_hint_for_a_requeued_job_names_its_next_attempt(service: Service) -> None:
    job_id = await held_job(service, JobStatus.TRAINING, PAST)
    await service.queue.redis.flushall()
    await sweep(service.settings, service.queue)
    hints = await _hints(service.queue)
    assert {hint for hint in hints if hint.startswith("train")} == {f"train:{job_id}:2"}
    stored = await service.queue.redis.get(f"arq:job:train:{job_id}:2")
    assert orjson.loads(stored)["a"] == [str(job_id)]


async def test_many_sweeps_at_once_free_a_job_once(service: Service) -> None:
    ids = [await held_job(service, JobStatus.TRAINING, PAST) for _ in range(3)]
    await asyncio.gather(*(sweep(service.settings, service.queue) for _ in range(5)))
    for job_id in ids:
        assert await kinds(job_id) == ["QUEUED", "PREPARING", "TRAINING", "QUEUED"]
        assert (await TrainingJob.get(id=job_id)).crashes == 1


async def test_without_redis_the_sweep_frees_jobs_and_hints_no_more_than_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await held_job(service, JobStatus.TRAINING, PAST) for _ in range(3)]
    asked: list[Work] = []
    async with open_queue("redis://127.0.0.1:1/0") as away:
        enqueue = away.enqueue

        async def counted(work: Work, row_id: UUID, attempt: int) -> bool:
            asked.append(work)
            return await enqueue(work, row_id, attempt)

        monkeypatch.setattr(away, "enqueue", counted)
        await sweep(service.settings, away)
    assert [(await TrainingJob.get(id=job_id)).status for job_id in ids] == [JobStatus.QUEUED] * 3
    assert asked == [Work.TRAIN]
