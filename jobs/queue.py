"""The queue is a hint, the table the truth: it carries a kind of work and an id, nothing else.

A message may come twice or never; whoever receives one claims the row first, and the sweep sends
a message again for every row that waits too long. So nothing here fails a caller.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from uuid import UUID

import orjson
from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

__all__ = ["Queue", "Work", "deserialise", "open_queue", "redis_settings", "serialise"]

logger = logging.getLogger(__name__)

QUEUE_NAME = "tunery:queue"
EXPIRES_MS = 30 * 24 * 3600 * 1000
"""arq fails a job not started within this time; its default of a day would lose waiting jobs."""
TIMEOUT_SECONDS = 2.0
EVENTS_CHANNEL = "tunery:events"


class Work(StrEnum):
    """The kinds of work; each is the name of the worker's function for it."""

    TRAIN = "train"
    EXPORT = "export"
    EVALUATE = "evaluate"
    ANSWER = "answer"
    CHECK_MODEL = "check_model"
    INGEST = "ingest"
    EXAMINE = "examine"
    EXAMINE_TOKENS = "examine_tokens"


class Queue:
    """Sends hints to workers and to subscribers over one connection pool."""

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis

    async def enqueue(self, work: Work, row_id: UUID, attempt: int) -> bool:
        """Tell some worker that a row is QUEUED; False where Redis could not be told.

        One id an attempt: arq drops a message whose id it has seen.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.redis.enqueue_job(
                    work.value, str(row_id), _job_id=f"{work.value}:{row_id}:{attempt}"
                )
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("%s %s stays in the table, Redis is away: %s", work, row_id, error)
            return False
        return True

    async def publish(self, job_id: UUID, seq: int) -> None:
        """Wake whoever follows the job: it has events up to `seq`."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.redis.publish(EVENTS_CHANNEL, f"{job_id} {seq}")
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("nobody was told of event %s of %s: %s", seq, job_id, error)

    async def ping(self) -> None:
        """Raises what the client raises when Redis does not answer."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.redis.ping()


@asynccontextmanager
async def open_queue(redis_url: str) -> AsyncIterator[Queue]:
    """A queue that connects when first used, so that the service starts without Redis."""
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=20,
        timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],  # a restart leaves the pool full of dead ones
    )
    redis = ArqRedis(
        pool,
        job_serializer=serialise,
        job_deserializer=deserialise,
        default_queue_name=QUEUE_NAME,
        expires_extra_ms=EXPIRES_MS,
    )
    try:
        yield Queue(redis)
    finally:
        await redis.aclose(close_connection_pool=True)


def redis_settings(redis_url: str) -> RedisSettings:
    """The same address for arq's worker."""
    settings = RedisSettings.from_dsn(redis_url)
    settings.conn_retries = 0
    settings.conn_timeout = int(TIMEOUT_SECONDS)
    return settings


def serialise(message: dict[str, object]) -> bytes:
    """JSON, never pickle: whoever can write to Redis must not be able to run code."""
    return orjson.dumps(message, default=str)


def deserialise(message: bytes) -> dict[str, object]:
    """The inverse of `serialise`."""
    decoded: dict[str, object] = orjson.loads(message)
    return decoded
