"""The worker: takes waiting rows a few at a time, and puts back what it must leave.

What is done is decided by the table alone. The queue only wakes a worker that would otherwise look
by itself a moment later, so work goes on while Redis is away.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC
from functools import partial
from itertools import takewhile
from secrets import token_hex
from typing import Any, ClassVar
from uuid import UUID

from arq.connections import RedisSettings
from arq.worker import Function, Worker, func
from redis.exceptions import RedisError

from jobs.artifacts import Artifacts
from jobs.database import connect
from jobs.execution.answering import Answerer
from jobs.execution.supervisor import Seat, supervise
from jobs.execution.sweep import sweep
from jobs.execution.tasks import TABLES, TASKS, perform
from jobs.fleet.devices import DevicePool, cuda_devices, open_pool
from jobs.fleet.presence import present_forever
from jobs.models import TrainingJob
from jobs.queue import (
    EXPIRES_MS,
    QUEUE_NAME,
    Queue,
    Work,
    deserialise,
    open_queue,
    redis_settings,
    serialise,
)
from jobs.settings import Settings
from jobs.status import JobStatus, TaskStatus

__all__ = ["Lane", "WorkerSettings", "open_lanes", "run_worker"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RECONNECT_SECONDS = 1.0


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; running jobs then save and go back to the queue."""
    worker_id = f"{socket.gethostname()[:32]}-{os.getpid()}-{token_hex(4)}"
    async with connect(settings), open_queue(settings.redis_url) as queue:
        pool = open_pool(settings.worker_devices, settings.worker_slots, cuda_devices())
        answerer = Answerer(worker_id, settings, Artifacts(settings.artifacts))
        lanes = open_lanes(worker_id, settings, queue, pool)
        lanes[Work.ANSWER] = Lane(1, partial(_waiting_tasks, Work.ANSWER), answerer.answer)
        logger.info("worker %s takes up work on %s devices", worker_id, pool.size)
        async with aclosing(answerer), asyncio.TaskGroup() as group:
            tasks = [group.create_task(lane.run()) for lane in lanes.values()]
            tasks.append(group.create_task(_sweep_forever(settings, queue)))
            tasks.append(group.create_task(_listen_forever(settings, lanes)))
            tasks.append(group.create_task(present_forever(worker_id, settings, pool)))
            _cancel_on_signals(tasks)
    logger.info("worker %s has left", worker_id)


class Lane:
    """Takes waiting rows of one kind, oldest first, at most `slots` at a time."""

    def __init__(
        self,
        slots: int,
        waiting: Callable[[int], Awaitable[list[UUID]]],
        work: Callable[[UUID], Awaitable[None]],
    ) -> None:
        self._slots = slots
        self._waiting = waiting
        self._work = work
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    async def run(self) -> None:
        """Work for ever; when cancelled, leave everything in order first."""
        try:
            while True:
                self._woken.clear()
                await self._fill()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()
        finally:
            await self._leave()

    async def _fill(self) -> None:
        free = self._slots - len(self._running)
        if free <= 0:
            return
        try:
            rows = await self._waiting(free)
        except Exception:  # a lane that ended would take the jobs that run in it along
            logger.exception("cannot look for work; trying again")
            return
        for row_id in rows:
            if row_id not in self._running:
                self._running[row_id] = asyncio.create_task(self._do(row_id))

    async def _do(self, row_id: UUID) -> None:
        try:
            await self._work(row_id)
        except Exception:  # the task's edge: the sweep counts the lapsed lease as a crash
            logger.exception("work on %s broke off; its lease will lapse", row_id)
        finally:
            del self._running[row_id]
            self.wake()

    async def _leave(self) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class WorkerSettings:
    """What our use of arq needs to be told, each default that would hurt with its reason.

    arq reads these from the class itself, never from a base class.
    """

    queue_name: ClassVar = QUEUE_NAME
    redis_settings: ClassVar[RedisSettings]
    handle_signals: ClassVar = False
    """The worker leaves in its own order."""
    max_jobs: ClassVar = 50
    """A hint is done at once; work itself is counted by lanes."""
    job_timeout: ClassVar = 30
    """Also the life of a dead worker's in-progress key; hints take microseconds."""
    max_tries: ClassVar = 1
    retry_jobs: ClassVar = False
    """The sweep sends a lost hint again."""
    keep_result: ClassVar = 0
    """A kept result would swallow the next hint of the same id."""
    expires_extra_ms: ClassVar = EXPIRES_MS
    health_check_interval: ClassVar = 10
    allow_abort_jobs: ClassVar = False
    """Cancelling is a state in the table; arq's abort can poison an id."""
    poll_delay: ClassVar = 0.1
    job_serializer: ClassVar = staticmethod(serialise)
    job_deserializer: ClassVar = staticmethod(deserialise)
    """JSON: the default, pickle, runs code for whoever can write to Redis."""
    timezone: ClassVar = UTC
    log_results: ClassVar = False

    @classmethod
    def options(cls) -> dict[str, Any]:
        """All of the above as arguments of arq's `Worker`."""
        names = [name for name in vars(cls) if not name.startswith("_") and name != "options"]
        return {name: getattr(cls, name) for name in names}


def open_lanes(
    worker_id: str, settings: Settings, queue: Queue, pool: DevicePool
) -> dict[Work, Lane]:
    """What a worker does, by kind: training as often at once as it has slots, all else one by one."""
    artifacts = Artifacts(settings.artifacts)

    async def train(job_id: UUID) -> None:
        seat = Seat(worker_id, pool.names(job_id))
        try:
            await supervise(job_id, seat=seat, settings=settings, artifacts=artifacts, queue=queue)
        finally:
            pool.take_back(job_id)

    lanes = {Work.TRAIN: Lane(settings.worker_slots, partial(_waiting_jobs, pool), train)}
    for work in TASKS:
        do = partial(perform, work, worker_id=worker_id, settings=settings, artifacts=artifacts)
        lanes[work] = Lane(1, partial(_waiting_tasks, work), do)
    return lanes


async def _waiting_jobs(pool: DevicePool, limit: int) -> list[UUID]:
    """Those that this worker has the devices for, which are set aside for them.

    A job that must wait for devices is not overtaken, lest smaller ones keep it waiting for ever.
    """
    rows = TrainingJob.filter(status=JobStatus.QUEUED, devices__lte=pool.size)
    jobs = await rows.order_by("queued_at").limit(limit).only("id", "devices")
    return [job.id for job in takewhile(lambda job: pool.lend(job.id, job.devices), jobs)]


async def _waiting_tasks(work: Work, limit: int) -> list[UUID]:
    rows = TABLES[work].filter(status=TaskStatus.QUEUED).order_by("created_at").limit(limit)
    return [row.id for row in await rows.only("id")]


async def _sweep_forever(settings: Settings, queue: Queue) -> None:
    while True:
        try:
            await sweep(settings, queue)
        except Exception:  # without the sweep, lost work would wait for ever
            logger.exception("the sweep broke off; trying again")
        await asyncio.sleep(settings.sweep_seconds)


async def _listen_forever(settings: Settings, lanes: Mapping[Work, Lane]) -> None:
    """Take hints off the queue; arq's worker ends whenever Redis goes, so it is made anew."""
    while True:
        options = WorkerSettings.options() | {"redis_settings": redis_settings(settings.redis_url)}
        worker = Worker([_waker(work, lane) for work, lane in lanes.items()], **options)
        try:
            await worker.async_run()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("Redis is away, looking by ourselves meanwhile: %s", error)
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                await worker.close()
        await asyncio.sleep(RECONNECT_SECONDS)


def _waker(work: Work, lane: Lane) -> Function:
    async def wake(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        del ctx, args, kwargs  # what there is to do, the table knows
        lane.wake()

    return func(wake, name=work.value)


def _cancel_on_signals(tasks: list[asyncio.Task[None]]) -> None:
    loop = asyncio.get_running_loop()

    def leave() -> None:
        for task in tasks:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
