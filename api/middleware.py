"""One log line a request, and the headers that every response bears."""

import logging
import time
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["OPERATION", "RequestLog"]

logger = logging.getLogger("tunery.requests")

OPERATION: Final = "tunery.operation"
"""Where in the scope the GraphQL endpoint leaves the operation's name for the log."""

_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class RequestLog:
    """Writes method, path, status, milliseconds and operation; never a header, body or token."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, add the headers, and log the outcome."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            elif message["type"] == "websocket.close":
                status = message["code"]
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        finally:
            logger.info(
                "%s %s %d %.1f ms %s",
                scope.get("method", "WEBSOCKET"),
                _shown_path(scope),
                status,
                (time.perf_counter() - started) * 1000,
                scope.get(OPERATION, "-"),
            )


def _shown_path(scope: Mapping[str, object]) -> str:
    """The path without the token in it, and without what could forge a line."""
    path = str(scope["path"])
    for secret in ("/downloads/", "/uploads/"):
        if path.startswith(secret):
            return f"{secret}…"
    return path[:200] if path.isprintable() else repr(path[:200])
