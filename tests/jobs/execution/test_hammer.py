"""Several processes on one database, with all their might."""

import asyncio

import pytest

from jobs import audit
from jobs.database import transaction
from jobs.execution.claims import claim
from jobs.models import AuditEntry, TrainingJob
from jobs.runs.history import Entry, append
from jobs.service import Service
from tests.factories import make_job
from tests.jobs.stage import hammer, history, make_viewer


@pytest.mark.slow
async def test_two_processes_claim_each_job_once_and_lose_no_event_number(
    service: Service,
) -> None:
    viewer = await make_viewer()
    jobs = [await make_job(viewer, service) for _ in range(3)]
    await hammer(service, jobs, processes=2)


async def test_of_many_claims_at_once_one_succeeds(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    claims = await asyncio.gather(*(claim(job.id, f"worker-{n}", 30) for n in range(20)))
    held = [claimed for claimed in claims if claimed is not None]
    assert len(held) == 1
    stored = await TrainingJob.get(id=job.id)
    assert (stored.worker_id, stored.attempt) == (held[0].worker_id, 1)
    assert len(await history(job.id)) == 2


async def test_writers_of_one_process_number_their_events_without_a_gap(service: Service) -> None:
    job = await make_job(await make_viewer(), service)

    async def write(number: int) -> None:
        async with transaction():
            await append(job.id, [Entry("WarningRaised", {"code": str(number)})] * 2)

    await asyncio.gather(*(write(number) for number in range(50)))
    events = await history(job.id)
    assert len(events) == 101
    assert all(
        first.data == second.data for first, second in zip(events[1::2], events[2::2], strict=True)
    )


@pytest.mark.parametrize("turns", range(12))
async def test_a_transaction_cancelled_at_any_moment_leaves_the_connection_free(
    service: Service, turns: int
) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    former = await AuditEntry.all().count()

    async def write_twice() -> None:
        async with transaction():
            await audit.record(viewer, "first", job, job.id)
            await audit.record(viewer, "second", job, job.id)

    task = asyncio.create_task(write_twice())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(2):
        assert await AuditEntry.all().count() in (former, former + 2)
        await write_twice()


async def test_a_transaction_that_fails_is_undone_whole(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    former = await AuditEntry.all().count()

    async def fail() -> None:
        async with transaction():
            await audit.record(viewer, "outer", job, job.id)
            async with transaction():
                await audit.record(viewer, "inner", job, job.id)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await AuditEntry.all().count() == former
