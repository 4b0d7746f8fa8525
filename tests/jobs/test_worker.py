"""Whole worker processes, killed and cut off while they work."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from api.local.redis_server import find_binary
from jobs.fleet.workers import roomiest
from jobs.models import TrainingJob
from jobs.service import Service, open_service
from jobs.settings import Settings
from jobs.status import JobStatus
from jobs.worker import Lane
from tests.factories import make_job
from tests.jobs.stage import (
    CANCELLED,
    COMPLETED,
    WHOLE_RUN,
    Step,
    as_environment,
    checkpoint,
    eventually,
    has_status,
    history,
    kinds,
    make_viewer,
    phase,
    progress,
    say,
    script_job,
    start_python,
    starts,
)
from tests.processes import is_alive
from tests.valkey import Valkey

WORKER = """
import asyncio, logging, sys
from tests.jobs import stage
asyncio.create_subprocess_exec = stage.play_scripts_async
from jobs.settings import Settings
from jobs.worker import run_worker
logging.basicConfig(filename=sys.argv[1], level="INFO")
asyncio.run(run_worker(Settings()))
"""

START = say(phase("PREPARING"), phase("TRAINING"))
STOPPED: Step = ["on_term", [say(checkpoint(1), CANCELLED), ["exit", 0]]]
LONG: list[Step] = [STOPPED, START, say(progress(1)), ["hang"]]
END: list[Step] = [say(phase("VALIDATING"), COMPLETED), ["exit", 0]]


def slow_run(seconds: float) -> list[Step]:
    """A run that says something every twentieth of a second."""
    steps = [[say(progress(n, 1000)), ["sleep", 0.05]] for n in range(int(seconds * 20))]
    return [START, *(step for pair in steps for step in pair), *END]


@asynccontextmanager
async def worker(settings: Settings, **changes: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process with short times; it must not outlive the test."""
    hurried = {"TUNERY_LEASE_SECONDS": "3", "TUNERY_SWEEP_SECONDS": "1"}
    environment = as_environment(settings) | hurried | changes
    process = await start_python(WORKER, str(settings.home / "worker.log"), **environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def is_completed(job_id: UUID) -> bool:
    return await has_status(job_id, JobStatus.COMPLETED)


def log_of(settings: Settings) -> str:
    return (settings.home / "worker.log").read_text()


@pytest.mark.slow
async def test_a_worker_killed_in_the_middle_of_a_job_is_stood_in_for(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, LONG, WHOLE_RUN)
    async with worker(service.settings) as first:
        await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
        first.kill()
        await first.wait()
        await eventually(lambda: not is_alive(starts(folder)[0]))
        async with worker(service.settings):
            await eventually(lambda: is_completed(job.id))
    done = await TrainingJob.get(id=job.id)
    assert (done.attempt, done.crashes) == (2, 1)
    assert (await kinds(job.id))[:5] == [
        *("QUEUED", "PREPARING", "TRAINING", "Progress", "QUEUED"),
    ]
    assert len(starts(folder)) == 2


@pytest.mark.slow
async def test_a_restart_of_redis_in_the_middle_of_a_job_is_not_noticed(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    valkey = Valkey(find_binary(), tmp_path_factory.mktemp("valkey"))
    valkey.start()
    settings = settings.model_copy(update={"redis_url": valkey.url})
    try:
        async with open_service(settings) as service:
            viewer = await make_viewer()
            job = await make_job(viewer, service)
            script_job(service, job.id, slow_run(1.5))
            async with worker(settings) as process:
                await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
                valkey.stop()
                await asyncio.sleep(0.5)
                valkey.start()
                await eventually(lambda: is_completed(job.id))
                later = await make_job(viewer, service)
                script_job(service, later.id, WHOLE_RUN)
                await eventually(lambda: is_completed(later.id))
                assert process.returncode is None
            done = await TrainingJob.get(id=job.id)
            assert (done.attempt, done.crashes) == (1, 0)
            await history(job.id)
    finally:
        valkey.stop()


@pytest.mark.slow
async def test_jobs_run_where_there_is_no_redis_at_all(settings: Settings) -> None:
    settings = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with open_service(settings) as service, worker(settings) as process:
        await asyncio.sleep(1.5)  # it has looked once and found nothing
        job = await make_job(await make_viewer(), service)
        script_job(service, job.id, WHOLE_RUN)
        await eventually(lambda: is_completed(job.id))
        assert process.returncode is None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_asked_to_leave_puts_its_job_back(
    service: Service, number: signal.Signals
) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, LONG)
    async with worker(service.settings) as process:
        await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
        os.kill(process.pid, number)
        async with asyncio.timeout(5):
            assert await process.wait() == 0
    left = await TrainingJob.get(id=job.id)
    assert (left.status, left.crashes, left.worker_id) == (JobStatus.QUEUED, 0, None)
    assert (await kinds(job.id))[-2:] == ["CheckpointSaved", "QUEUED"]
    assert not is_alive(starts(folder)[0])
    assert "ERROR" not in log_of(service.settings)


@pytest.mark.slow
async def test_two_workers_side_by_side_run_each_job_once(service: Service) -> None:
    viewer = await make_viewer()
    jobs = [await make_job(viewer, service) for _ in range(8)]
    folders = [script_job(service, job.id, slow_run(0.2)) for job in jobs]
    slots = {"TUNERY_WORKER_SLOTS": "2"}
    async with worker(service.settings, **slots), worker(service.settings, **slots):
        for job in jobs:
            await eventually(lambda job_id=job.id: is_completed(job_id), 20)
        place = await roomiest(1, lease_seconds=30)
    assert place is not None
    assert place.machine.available_bytes > 2**28
    assert [len(starts(folder)) for folder in folders] == [1] * 8
    for job in jobs:
        assert (await kinds(job.id))[-2:] == ["COMPLETED", "JobFinished"]
    takers = {(await history(job.id))[1].data["reason"] for job in jobs}
    assert takers == {"a worker took it"}
    assert "ERROR" not in log_of(service.settings)


async def test_a_lane_works_on_no_more_rows_than_it_has_slots() -> None:
    rows = [UUID(int=number) for number in range(7)]
    waiting = list(rows)
    at_once: list[int] = []
    running: set[UUID] = set()

    async def look(limit: int) -> list[UUID]:
        return waiting[:limit]

    async def work(row_id: UUID) -> None:
        waiting.remove(row_id)
        running.add(row_id)
        at_once.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(row_id)

    lane = Lane(2, look, work)
    task = asyncio.create_task(lane.run())
    await eventually(lambda: len(at_once) == 7 and not running)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert max(at_once) == 2
    assert waiting == []


async def test_a_lane_outlives_work_that_breaks_and_a_table_that_is_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.worker.POLL_SECONDS", 0.01)
    looks = 0
    done: list[UUID] = []

    async def look(limit: int) -> list[UUID]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError("the table is away")
        return [UUID(int=looks)][:limit] if looks <= 3 else []

    async def work(row_id: UUID) -> None:
        done.append(row_id)
        if row_id.int == 2:
            raise ValueError("broken")

    task = asyncio.create_task(Lane(1, look, work).run())
    await eventually(lambda: len(done) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert done == [UUID(int=2), UUID(int=3)]
    assert "cannot look for work" in caplog.text
    assert "work on 00000000-0000-0000-0000-000000000002 broke off" in caplog.text
