"""A child process that is spoken to in lines: started when first needed, and ended when nobody has
spoken to it for a while."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final

from jobs.processes.child import TAIL_BYTES, child_environment

__all__ = ["WarmChild"]

LONGEST_LINE_BYTES: Final = 32 * 1024**2


@dataclass(frozen=True)
class _Running:
    process: asyncio.subprocess.Process
    log: IO[bytes]
    """What it prints on standard error: a file without a name, gone with this process."""


class WarmChild:
    """One process of `python -P -m MODULE ARGUMENTS`, as often as it takes, in a group of its own.

    Its standard input is a lifeline too: it ends when this process dies, however it dies.
    """

    def __init__(self, module: str, *arguments: str, threads: int, idle_seconds: float) -> None:
        self._command = ("-P", "-m", module, *arguments)
        self._threads = threads
        self._idle_seconds = idle_seconds
        self._turn = asyncio.Lock()
        self._running: _Running | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._retiring: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return self._running.process.pid if self._running else None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have it for oneself; others wait. Whatever breaks off the block ends the process, so that
        nothing it says is ever taken for a word to somebody else."""
        async with self._turn:
            self._stay()
            try:
                yield
            except BaseException:
                await self.end()
                raise
            if self._running is not None:
                loop = asyncio.get_running_loop()
                self._retirement = loop.call_later(self._idle_seconds, self._retire)

    async def start(self) -> None:
        """A new process, whatever became of the last one."""
        await self.end()
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=child_environment(self._threads),
            start_new_session=True,
            limit=LONGEST_LINE_BYTES,
        )
        self._running = _Running(process, log)

    async def write(self, line: bytes) -> None:
        """Say a line; one that has ended does not hear it."""
        assert self._running is not None  # noqa: S101 - it was started
        stdin = self._running.process.stdin
        assert stdin is not None  # noqa: S101 - started with pipes
        with suppress(ConnectionError):  # then it has left, and says nothing more
            stdin.write(line + b"\n")
            await stdin.drain()

    async def readline(self) -> bytes:
        """The next line that it says; nothing where it has ended."""
        assert self._running is not None  # noqa: S101 - it was started
        stdout = self._running.process.stdout
        assert stdout is not None  # noqa: S101 - started with pipes
        line = await stdout.readline()
        return line if line.endswith(b"\n") else b""

    def last_words(self) -> str:
        """The last line that it printed, which says what happened where it is a traceback."""
        if self._running is None:
            return ""
        log = self._running.log
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    async def end(self) -> None:
        """End it with all that it started, if there is one."""
        self._stay()
        running, self._running = self._running, None
        if running is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        await running.process.wait()
        running.log.close()

    async def close(self) -> None:
        """End it once whoever speaks to it is done."""
        if self._retiring is not None:
            await self._retiring
        await self._end_in_turn()

    def _stay(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
            self._retirement = None

    def _retire(self) -> None:
        self._retiring = asyncio.get_running_loop().create_task(self._end_in_turn())

    async def _end_in_turn(self) -> None:
        async with self._turn:
            await self.end()
