"""A server process for the benchmarks: the real application with two routes more.

`/raw` and `/cpu` belong to a plain Starlette application with no middleware, beside ours: the
yardstick, and the CPU seconds that the process has used.
"""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.app import create_app
from api.local.redis_server import find_binary
from jobs.database import migrate
from jobs.settings import Settings
from tests.valkey import Valkey

__all__ = ["Server", "resident_bytes", "running_server"]


@dataclass(frozen=True)
class Server:
    """A running server; `settings` reach the same database and Redis."""

    settings: Settings
    port: int
    pid: int


@contextmanager
def running_server() -> Iterator[Server]:
    """The application in a process of its own, over a fresh database and Valkey."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        valkey = Valkey(find_binary(), home)
        valkey.start()
        try:
            yield from _serving(Settings(home=home, secret=_SECRET, redis_url=valkey.url))
        finally:
            valkey.stop()


def _serving(settings: Settings) -> Iterator[Server]:
    asyncio.run(migrate(settings))
    environment = os.environ | {
        "TUNERY_HOME": str(settings.home),
        "TUNERY_SECRET": settings.secret.get_secret_value(),
        "TUNERY_REDIS_URL": settings.redis_url,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"], env=environment, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield Server(settings, int(process.stdout.readline()), process.pid)
    finally:
        process.terminate()
        process.wait(20)


_SECRET = secrets.token_urlsafe(48)


def resident_bytes(pid: int) -> int:
    """What the process holds in memory now."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def _raw(_request: Request) -> Response:
    return JSONResponse({"data": {"__typename": "Query"}})


async def _cpu(_request: Request) -> Response:
    return JSONResponse({"cpu_seconds": time.process_time()})


def _main() -> None:
    ours = create_app(Settings())
    plain = Starlette(routes=[Route("/raw", _raw, methods=["POST"]), Route("/cpu", _cpu)])

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        app = plain if scope.get("path") in ("/raw", "/cpu") else ours
        await app(scope, receive, send)

    config = uvicorn.Config(
        either,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="warning",
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _main()
