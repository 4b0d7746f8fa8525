"""A worker's lane for uploads, inside the test's own process; the child processes are real."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from jobs.execution.tasks import perform
from jobs.models import Dataset, Examination, TokenExamination
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus
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


async def examine_tokens(service: Service, examination_id: UUID) -> TokenExamination:
    """One attempt at a queued examination of tokens; how that stands afterwards."""
    await perform(
        *(Work.EXAMINE_TOKENS, examination_id),
        worker_id="examiner",
        settings=service.settings,
        artifacts=service.artifacts,
    )
    return await TokenExamination.get(id=examination_id)


@asynccontextmanager
async def ingesting_worker(service: Service) -> AsyncIterator[None]:
    """Takes in every dataset that is queued, one after the other."""

    async def work() -> None:
        for row in await Dataset.filter(status=TaskStatus.QUEUED).only("id"):
            await ingest(service, row.id)

    async with _working(work):
        yield


@asynccontextmanager
async def examining_worker(service: Service) -> AsyncIterator[None]:
    """Examines every dataset that is READY, one after the other."""

    async def work() -> None:
        for row in await Examination.filter(status=TaskStatus.QUEUED).only("id"):
            await examine(service, row.id)
        for tokens in await TokenExamination.filter(status=TaskStatus.QUEUED).only("id"):
            await examine_tokens(service, tokens.id)

    async with _working(work):
        yield


@asynccontextmanager
async def _working(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            await work()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(repeat())
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
