"""A worker's lane for uploads, inside the test's own process; the child processes are real."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from jobs.models import Dataset, Examination
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus
from jobs.tasks import perform
from tests.jobs.stage import eventually


async def ingest(service: Service, dataset_id: UUID, worker_id: str = "worker") -> Dataset:
    """One attempt at a queued dataset; the row afterwards."""
    await perform(
        *(Work.INGEST, dataset_id),
        worker_id=worker_id,
        settings=service.settings,
        artifacts=service.artifacts,
    )
    return await Dataset.get(id=dataset_id)


async def examine(service: Service, dataset_id: UUID) -> Examination:
    """One attempt at a dataset whose examination is queued; how that stands afterwards."""
    await perform(
        *(Work.EXAMINE, dataset_id),
        worker_id="examiner",
        settings=service.settings,
        artifacts=service.artifacts,
    )
    return await Examination.get(id=dataset_id)


@asynccontextmanager
async def ingesting_worker(service: Service) -> AsyncIterator[None]:
    """Takes in every dataset that is queued, one after the other."""

    async def work() -> None:
        while True:
            for row in await Dataset.filter(status=TaskStatus.QUEUED).only("id"):
                await ingest(service, row.id)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settled(dataset_id: UUID) -> Dataset:
    """The dataset once it is READY or FAILED."""

    async def has_ended() -> bool:
        status = (await Dataset.get(id=dataset_id)).status
        return status in (TaskStatus.READY, TaskStatus.FAILED)

    await eventually(has_ended, 20.0)
    return await Dataset.get(id=dataset_id)
