"""A warm child process that answers questions, one at a time: started when first asked, and ended
when nobody has asked for a while."""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final, TypeVar

from pydantic import BaseModel

from jobs.child import TAIL_BYTES, child_environment
from jobs.errors import Unavailable
from training.events import Failure
from training.preview.questions import Answer, Kind, Question

__all__ = ["Companion", "Unanswered"]

AnswerT = TypeVar("AnswerT", bound=BaseModel)

LONGEST_ANSWER_BYTES: Final = 32 * 1024**2
MOST_WAITING: Final = 16
"""More questions than that at a time are refused."""


class Unanswered(Exception):
    """The child understood the question and says why there is no answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


@dataclass(frozen=True)
class _Running:
    process: asyncio.subprocess.Process
    log: IO[bytes]
    """What it prints on standard error: a file without a name, gone with this process."""


class Companion:
    """One process of `python -P -m MODULE`, as often as it takes.

    Its standard input is a lifeline too: it ends when this process dies, however it dies. One that has
    crashed, or did not answer in time, is replaced with the next question.
    """

    def __init__(
        self, module: str, *, idle_seconds: float = 300.0, answer_seconds: float = 20.0
    ) -> None:
        self._module = module
        self._idle_seconds = idle_seconds
        self._answer_seconds = answer_seconds
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._running: _Running | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._retiring: asyncio.Task[None] | None = None
        self._unawaited: set[asyncio.Task[Any]] = set()

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return self._running.process.pid if self._running else None

    async def ask(self, kind: Kind, question: BaseModel, answer: type[AnswerT]) -> AnswerT:
        """The answer. Raises `Unanswered` with the reason, and Unavailable where there is none."""
        if self._waiting >= MOST_WAITING:
            raise Unavailable("Too many previews are asked for at once.", "Ask again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:
                line = await self._exchange(Question(kind=kind, question=question.model_dump()))
        finally:
            self._waiting -= 1
        answered = Answer.model_validate_json(line)
        if answered.error is not None:
            raise Unanswered(answered.error)
        return answer.model_validate(answered.result)

    async def ask_within(
        self, seconds: float, kind: Kind, question: BaseModel, answer: type[AnswerT]
    ) -> AnswerT | None:
        """The answer, if it comes so soon; else the process goes on with it, for later questions to
        find it ready. Raises what `ask` raises."""
        asking = asyncio.get_running_loop().create_task(self.ask(kind, question, answer))
        self._unawaited.add(asking)
        asking.add_done_callback(self._settle)
        done, _ = await asyncio.wait({asking}, timeout=seconds)
        return asking.result() if done else None

    def _settle(self, asking: asyncio.Task[Any]) -> None:
        self._unawaited.discard(asking)
        if not asking.cancelled():
            asking.exception()  # looked at, lest it is reported where nobody waits any more

    async def close(self) -> None:
        """End the process, if there is one."""
        for asking in self._unawaited:
            asking.cancel()
        await asyncio.gather(*self._unawaited, return_exceptions=True)
        if self._retiring is not None:
            await self._retiring
        await self._end_in_turn()

    async def _exchange(self, question: Question) -> bytes:
        """One line for another. Whatever comes between ends the process, so that no answer is ever
        taken for that to a later question."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                line = await self._ask_running(question)
        except TimeoutError as error:
            await self._end()
            raise Unavailable(
                f"There was no answer within {self._answer_seconds:.0f} seconds.",
                "Ask for fewer records, or for shorter ones.",
            ) from error
        except BaseException:
            await self._end()
            raise
        self._retire_later()
        return line

    async def _ask_running(self, question: Question) -> bytes:
        """A process that has crashed since its last answer, or left to make room, is replaced."""
        if self._running is not None:
            line = await _line(self._running.process, question)
            if line:
                return line
            await self._end()
        running = await self._start()
        line = await _line(running.process, question)
        if not line:
            raise Unavailable(
                f"The process that answers has ended. {_last_words(running.log)}".strip(),
                "Ask again. Where that does not help, see that Tunery's libraries for training are "
                "installed beside the API.",
            )
        return line

    async def _start(self) -> _Running:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", self._module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=child_environment(threads=1),
            start_new_session=True,
            limit=LONGEST_ANSWER_BYTES,
        )
        self._running = _Running(process, log)
        return self._running

    def _retire_later(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
        loop = asyncio.get_running_loop()
        self._retirement = loop.call_later(self._idle_seconds, self._retire)

    def _retire(self) -> None:
        self._retiring = asyncio.get_running_loop().create_task(self._end_in_turn())

    async def _end_in_turn(self) -> None:
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
        running, self._running = self._running, None
        if running is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        await running.process.wait()
        running.log.close()


async def _line(process: asyncio.subprocess.Process, question: Question) -> bytes:
    """The answer; nothing where the process has ended, or ends over it."""
    assert process.stdin is not None  # noqa: S101 - started with pipes
    assert process.stdout is not None  # noqa: S101 - as above
    with suppress(ConnectionError):  # then it has left, and there is no line to read either
        process.stdin.write(question.model_dump_json().encode() + b"\n")
        await process.stdin.drain()
    line = await process.stdout.readline()
    return line if line.endswith(b"\n") else b""


def _last_words(log: IO[bytes]) -> str:
    """The last line that it printed, which says what happened where it is a traceback."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
