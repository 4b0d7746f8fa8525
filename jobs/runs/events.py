"""Following a job live: every event once and in order, whenever one joins.

Rows are the truth and pub/sub only the alarm clock: a message says that a job has news, and a feed
then reads the rows. One listener a process, and one feed a followed job: subscribers that are up to
date share its reads, and only one that catches up reads for itself. A lost message costs a moment,
since feeds also look by themselves.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.database import AWAY
from jobs.models import JobEvent, TrainingJob
from jobs.queue import EVENTS_CHANNEL
from jobs.runs.history import JOB_FINISHED
from jobs.status import ENDED

__all__ = ["EventHub", "open_hub"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""How often a feed looks though nothing was announced."""
TAIL = 256
"""Events a feed remembers; who is further behind reads the table."""
BATCH = 500
RECONNECT_SECONDS = 1.0


class EventHub:
    """All feeds of this process."""

    def __init__(self) -> None:
        self._feeds: dict[UUID, _Feed] = {}

    async def follow(self, job_id: UUID, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        """The job's events numbered above `after`, stored ones first, then live, until its last."""
        async with self._feed(job_id) as feed:
            seen = after
            while True:
                for event in await feed.since(seen):
                    yield event
                    seen = event.seq
                    if event.kind == JOB_FINISHED:
                        return
                if not await feed.wait_beyond(seen):
                    return

    async def snapshots(self, job_id: UUID) -> AsyncGenerator[TrainingJob, None]:
        """The job's row now and after each change; a slow reader skips to the newest."""
        async with self._feed(job_id) as feed:
            while True:
                job = feed.job
                yield job
                if not await feed.wait_beyond(job.last_seq):
                    return

    def wake(self, job_id: UUID | None = None) -> None:
        """Let one feed, or all of them, look for news now."""
        for feed in self._feeds.values():
            if job_id in (None, feed.job.id):
                feed.wake()

    @asynccontextmanager
    async def _feed(self, job_id: UUID) -> AsyncIterator["_Feed"]:
        feed = self._feeds.get(job_id)
        if feed is None:
            job = await TrainingJob.get(id=job_id)
            feed = self._feeds.setdefault(job_id, _Feed(job))
        feed.followers += 1
        feed.start()
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                self._feeds.pop(job_id, None)
                await feed.stop()


class _Feed:
    """One job's newest events, read once for all who follow it."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.followers = 0
        self._tail: deque[JobEvent] = deque(maxlen=TAIL)
        self._news = asyncio.Event()
        self._moved = asyncio.Condition()
        self._pump: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._pump is None:
            self._pump = asyncio.create_task(self._read_on())

    async def stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump

    def wake(self) -> None:
        self._news.set()

    async def since(self, seq: int) -> list[JobEvent]:
        """Events after `seq`: from memory where it reaches back so far, else from the table."""
        if seq >= self.job.last_seq:
            return []
        if self._tail and self._tail[0].seq <= seq + 1:
            return [event for event in self._tail if event.seq > seq]
        rows = JobEvent.filter(job_id=self.job.id, seq__gt=seq)
        return await rows.order_by("seq").limit(BATCH)

    async def wait_beyond(self, seq: int) -> bool:
        """Wait for an event after `seq`; false where there can be none any more."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.job.last_seq > seq or self._is_over())
        return bool(self.job.last_seq > seq)

    def _is_over(self) -> bool:
        return self.job.status in ENDED

    async def _read_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._read()
            except AWAY as error:
                logger.warning("job %s cannot be read: %s", self.job.id, error)
            except Exception:  # a feed that died would leave its followers waiting for ever
                logger.exception("job %s cannot be read; trying again", self.job.id)

    async def _read(self) -> None:
        job = await TrainingJob.get(id=self.job.id)
        if job.last_seq == self.job.last_seq:
            return
        start = max(self.job.last_seq, job.last_seq - TAIL)
        rows = JobEvent.filter(job_id=job.id, seq__gt=start, seq__lte=job.last_seq)
        events = await rows.order_by("seq")
        if start > self.job.last_seq:
            self._tail.clear()
        self._tail.extend(events)
        async with self._moved:
            self.job = job
            self._moved.notify_all()


@asynccontextmanager
async def open_hub(redis_url: str) -> AsyncIterator[EventHub]:
    """A hub with its listener; it starts, and goes on, without Redis."""
    hub = EventHub()
    listener = asyncio.create_task(_listen_forever(hub, redis_url))
    try:
        yield hub
    finally:
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


async def _listen_forever(hub: EventHub, redis_url: str) -> None:
    while True:
        try:
            await _listen(hub, redis_url)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("Redis is away, events come a little later: %s", error)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen(hub: EventHub, redis_url: str) -> None:
    redis = Redis.from_url(redis_url, socket_connect_timeout=2.0, socket_keepalive=True)
    async with redis, redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(EVENTS_CHANNEL)
        hub.wake()  # whatever was announced while nobody listened
        while True:
            message = await pubsub.get_message(timeout=10.0)
            if message is None:
                await pubsub.ping()
                continue
            with suppress(ValueError):  # whoever can write to Redis can write nonsense
                job_id, _, _seq = message["data"].decode().partition(" ")
                hub.wake(UUID(job_id))
