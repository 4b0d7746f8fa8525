"""`tunery up` as the demo runs it, and the proof that nothing of it is left."""

import asyncio
import os
import secrets
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from api.demo.steps import DemoError, Steps
from api.local.home import Home
from api.local.ports import base_url, free_port

__all__ = ["LocalService"]

START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 60.0
HOST: Final = "127.0.0.1"


class LocalService:
    """A service of its own on a free port, with a fresh home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.log = folder / "up.log"
        self.url = ""
        self._process: Process | None = None

    @asynccontextmanager
    async def running(self, steps: Steps) -> AsyncIterator[None]:
        """Start `tunery up`; on leaving, whatever the reason, stop it and look for remains."""
        self._clear_home()
        try:
            async with steps.step("Starting Redis, API and worker: `tunery up`") as step:
                await self._start()
                step.outcome = self.url
            yield
        finally:
            async with steps.step("Stopping everything") as step:
                step.outcome = await asyncio.shield(asyncio.create_task(self._stop()))

    async def create_account(self, email: str) -> str:
        """Make an ADMIN account with `tunery create-user`; its password."""
        password = secrets.token_urlsafe(24)
        process = await asyncio.create_subprocess_exec(
            *_tunery("create-user", email, "--role", "ADMIN", "--home", str(self.home)),
            env={**_without_settings(), "TUNERY_PASSWORD": password},
            stdout=PIPE,
            stderr=PIPE,
        )
        _, problem = await process.communicate()
        if process.returncode != 0:
            raise DemoError(
                f"The account could not be made: {problem.decode().strip()}",
                "Run again: make demo",
                self.log,
            )
        return password

    def _clear_home(self) -> None:
        """Begin with an empty home, unless another service runs on it (Conflict)."""
        home = Home(self.home)
        home.create()
        with home.locked("the demo"):
            shutil.rmtree(self.home)

    async def _start(self) -> None:
        port = free_port(HOST)
        options = ("--home", str(self.home), "--host", HOST, "--port", str(port))
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_tunery("up", *options, "--exit-with-parent"),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                env=_without_settings(),
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                assert self._process.stdout is not None  # noqa: S101  # asked for above
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        self.url = base_url(HOST, port)
        if self.url.encode() not in line:
            raise DemoError(
                f"`tunery up` did not get ready: {self.log.read_text().strip()[-500:]}",
                "Mend what it says, and run again: make demo.",
                self.log,
            )

    async def _stop(self) -> str:
        process = self._process
        if process is None:
            return "nothing had been started"
        descendants = await _descendants(process.pid)
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        left = [pid for pid in descendants if pid in await _processes()]
        if left:
            raise DemoError(
                f"Processes are left: {', '.join(map(str, left))}.", "End them by hand.", self.log
            )
        return f"{len(descendants) + 1} processes ended, none is left"


def _tunery(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "api.cli", *arguments)


def _without_settings() -> dict[str, str]:
    """The environment without what would point the demo at another installation."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}


async def _descendants(ancestor: int) -> list[int]:
    parents = await _processes()
    found = {ancestor}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found - {ancestor})
        found |= more


async def _processes() -> dict[int, int]:
    """Every living process and its parent."""
    listing = await asyncio.create_subprocess_exec(
        "ps", "-A", "-o", "pid=,ppid=,stat=", stdout=PIPE
    )
    output, _ = await listing.communicate()
    rows = (row.split() for row in output.decode().splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
