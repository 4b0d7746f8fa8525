"""Whether the process lives, and whether it can serve."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.database import ping
from jobs.service import Service

__all__ = ["routes"]

logger = logging.getLogger(__name__)

CHECK_SECONDS = 3.0


def routes(service: Callable[[], Service]) -> list[Route]:
    """`/health/live` always answers; `/health/ready` is 503 and says what is missing."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_request: Request) -> Response:
        database, redis = await asyncio.gather(
            _answers("database", ping), _answers("redis", service().queue.ping)
        )
        parts = {"database": database, "redis": redis}
        missing = [name for name, answers in parts.items() if not answers]
        body = {"status": "unavailable" if missing else "ready", **parts, "missing": missing}
        return JSONResponse(body, 503 if missing else 200)

    return [Route("/health/live", live), Route("/health/ready", ready)]


async def _answers(name: str, check: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001  # each driver has errors of its own; all mean no
        logger.warning("%s does not answer: %s", name, error)
        return False
    return True
