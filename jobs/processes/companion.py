"""Questions to a warm child process, which answers one at a time."""

import asyncio
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from jobs.errors import Unavailable
from jobs.processes.warm_child import WarmChild
from training.events import Failure
from training.preview.questions import Answer, Kind, Question

__all__ = ["Companion", "Unanswered"]

AnswerT = TypeVar("AnswerT", bound=BaseModel)

MOST_WAITING: Final = 16
"""More questions than that at a time are refused."""


class Unanswered(Exception):
    """The child understood the question and says why there is no answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Companion:
    """One process of `python -P -m MODULE`, as often as it takes.

    Its standard input is a lifeline too: it ends when this process dies, however it dies. One that has
    crashed, or did not answer in time, is replaced with the next question.
    """

    def __init__(
        self, module: str, *, idle_seconds: float = 300.0, answer_seconds: float = 20.0
    ) -> None:
        self._child = WarmChild(module, threads=1, idle_seconds=idle_seconds)
        self._answer_seconds = answer_seconds
        self._waiting = 0
        self._unawaited: set[asyncio.Task[Any]] = set()

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return self._child.pid

    async def ask(self, kind: Kind, question: BaseModel, answer: type[AnswerT]) -> AnswerT:
        """The answer. Raises `Unanswered` with the reason, and Unavailable where there is none."""
        if self._waiting >= MOST_WAITING:
            raise Unavailable("Too many previews are asked for at once.", "Ask again in a moment.")
        self._waiting += 1
        try:
            async with self._child.turn():
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
        await self._child.close()

    async def _exchange(self, question: Question) -> bytes:
        """One line for another."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._ask_running(question)
        except TimeoutError as error:
            raise Unavailable(
                f"There was no answer within {self._answer_seconds:.0f} seconds.",
                "Ask for fewer records, or for shorter ones.",
            ) from error

    async def _ask_running(self, question: Question) -> bytes:
        """A process that has crashed since its last answer, or left to make room, is replaced."""
        asked = question.model_dump_json().encode()
        if self._child.pid is not None and (line := await self._line(asked)):
            return line
        await self._child.start()
        line = await self._line(asked)
        if not line:
            raise Unavailable(
                f"The process that answers has ended. {self._child.last_words()}".strip(),
                "Ask again. Where that does not help, see that Tunery's libraries for training are "
                "installed beside the API.",
            )
        return line

    async def _line(self, asked: bytes) -> bytes:
        """The answer; nothing where the process has ended, or ends over it."""
        await self._child.write(asked)
        return await self._child.readline()
