"""One process kept running: started again when it dies, stopped in an orderly way."""

import asyncio
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.local.lifeline import end_with_parent, start_watchdog
from jobs.errors import Unavailable

__all__ = ["Keeper", "Program"]

logger = logging.getLogger(__name__)

MOST_DEATHS: Final = 5
DEATHS_WITHIN_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.5
TAIL_LINES: Final = 12
TAIL_BYTES: Final = 16 * 1024


@dataclass(frozen=True)
class Program:
    """What is run, and how. `stop_seconds` passes between asking it to stop and killing it."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    stop_seconds: float
    folder: Path | None = None
    reads_lifeline: bool = True
    """Whether it ends by itself at the end of its standard input."""
    inherits: tuple[int, ...] = ()
    """Descriptors it gets to keep."""


class Keeper:
    """Holds one program, in a session of its own, so that a Ctrl+C reaches only the parent."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: Process | None = None
        self._watchdog: Process | None = None
        self._stopping = False
        self._log_start = 0

    @property
    def pid(self) -> int:
        """The running process's number; raises `RuntimeError` before the first start."""
        return self._started.pid

    @property
    def alive(self) -> bool:
        """Whether it runs at this moment."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Run the program, with its output appended to its log."""
        program = self.program
        with program.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=PIPE if program.reads_lifeline else DEVNULL,
                stdout=log,
                stderr=STDOUT,
                cwd=program.folder,
                env=program.environment,
                pass_fds=program.inherits,
                start_new_session=True,
                preexec_fn=None if program.reads_lifeline else end_with_parent(),
            )
        if not program.reads_lifeline:
            self._watchdog = await start_watchdog(self._process.pid)

    async def keep(self) -> None:
        """Start the program again whenever it dies, until `stop` is called.

        Raises Unavailable, with the end of the log, where it dies again and again.
        """
        loop = asyncio.get_running_loop()
        deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        pause = FIRST_PAUSE_SECONDS
        while True:
            code = await self._started.wait()
            await self._drop_watchdog()
            if self._stopping:
                return
            deaths.append(loop.time())
            recent = deaths[-1] - deaths[0] < DEATHS_WITHIN_SECONDS
            if recent and len(deaths) == MOST_DEATHS:
                raise self.failure(f"died {MOST_DEATHS} times, last with {_spelled(code)}")
            pause = pause if recent else FIRST_PAUSE_SECONDS
            logger.warning(
                "%s ended with %s; again in %.1f s", self.program.name, _spelled(code), pause
            )
            await asyncio.sleep(pause)
            pause *= 2
            await self.start()

    async def stop(self) -> None:
        """Ask the program to stop, wait its time, and kill what is left of its session."""
        self._stopping = True
        if self._process is None:
            return
        if self.alive:
            self._process.terminate()
        try:
            async with asyncio.timeout(self.program.stop_seconds):
                await self._process.wait()
        except TimeoutError:
            logger.warning("%s did not stop in time and is killed", self.program.name)
        await self._drop_watchdog()
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End the program and whatever it started in its session, at once."""
        self._stopping = True
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the second of a zombie
                os.killpg(self._process.pid, signal.SIGKILL)

    def failure(self, what: str) -> Unavailable:
        """The error that says what happened to the program, with the end of its log."""
        return Unavailable(
            f"{self.program.name} {what}.\n{self._tail()}".rstrip(),
            f"Read its log, {self.program.log}, and start again.",
        )

    @property
    def _started(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"{self.program.name} was not started")
        return self._process

    async def _drop_watchdog(self) -> None:
        watchdog, self._watchdog = self._watchdog, None  # `keep` and `stop` may both come here
        if watchdog is None:
            return
        if watchdog.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # gone, but not yet waited for
                os.killpg(watchdog.pid, signal.SIGKILL)
        await watchdog.wait()

    def _tail(self) -> str:
        with self.program.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, log.tell() - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:])


def _spelled(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    return f"signal {signal.Signals(-code).name}"
