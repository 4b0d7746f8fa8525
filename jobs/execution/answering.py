"""The worker's side of answers: one warm child, which writes them one after the other."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tortoise.expressions import F

from jobs.artifacts import Artifacts
from jobs.database import AWAY
from jobs.execution.claims import lease_end
from jobs.models import BaseModel, Generation, ModelVersion
from jobs.processes.warm_child import WarmChild
from jobs.registry import versions
from jobs.settings import Settings
from jobs.status import TaskStatus
from training.config import TrainingConfig
from training.events import Failure, TrainingResult
from training.serving.spec import (
    ABANDON,
    Asked,
    Ended,
    Message,
    Parameters,
    Piece,
    Served,
    Unable,
    parse_reply,
)

__all__ = ["Answerer"]

logger = logging.getLogger(__name__)

MODULE = "training.serving.child"
TELL_SECONDS = 0.1
"""How often the text in the row grows, and the lease is prolonged."""
IDLE_SECONDS = 300.0
"""A child that nobody asks for so long gives its memory back."""


class Answerer:
    """Answers what is QUEUED, with one child for all."""

    def __init__(self, worker_id: str, settings: Settings, artifacts: Artifacts) -> None:
        self._worker_id = worker_id
        self._settings = settings
        self._artifacts = artifacts
        self._child = WarmChild(
            MODULE,
            str(settings.serving),
            threads=settings.threads,
            idle_seconds=IDLE_SECONDS,
        )

    async def answer(self, row_id: UUID) -> None:
        """Claim a QUEUED row and have it answered; somebody else's row is left alone.

        Cancelling this coroutine ends the child and puts the row back into the queue.
        """
        claimed = await self._claim(row_id)
        if claimed is None:
            return
        try:
            async with self._child.turn():
                await self._ask(claimed)
        except asyncio.CancelledError:
            await claimed.end(status=TaskStatus.QUEUED, text="")
            raise

    async def aclose(self) -> None:
        """End the child."""
        await self._child.close()

    async def _claim(self, row_id: UUID) -> "_Claimed | None":
        taken = await Generation.filter(id=row_id, status=TaskStatus.QUEUED).update(
            status=TaskStatus.RUNNING,
            worker_id=self._worker_id,
            lease_expires_at=lease_end(self._settings.lease_seconds),
            attempt=F("attempt") + 1,
            text="",
        )
        if not taken:
            return None
        row = await Generation.get(id=row_id)
        return _Claimed(row, self._worker_id, self._settings.lease_seconds)

    async def _ask(self, claimed: "_Claimed") -> None:
        asked = (await self._asked(claimed.row)).model_dump_json().encode()
        if self._child.pid is None:
            await self._child.start()
        await self._child.write(asked)
        if not await self._listen(claimed) and claimed.is_fresh:
            await self._child.start()  # it had died since its last answer
            await self._child.write(asked)
            await self._listen(claimed)
        if not claimed.ended:
            words = self._child.last_words()
            await self._child.end()
            await claimed.fail("CHILD_CRASHED", f"The process that answers has ended. {words}")

    async def _listen(self, claimed: "_Claimed") -> bool:
        """Take over what the child says until it is done; False where it has ended instead."""
        line = asyncio.ensure_future(self._child.readline())
        heard_at = time.monotonic()
        try:
            while True:
                await asyncio.wait({line}, timeout=TELL_SECONDS)
                if time.monotonic() - heard_at > self._settings.silence_seconds:
                    await self._child.end()
                    silent = f"It said nothing for {self._settings.silence_seconds:g} seconds."
                    await claimed.fail("CHILD_SILENT", silent)
                    return True
                if line.done():
                    heard_at = time.monotonic()
                    said = line.result()
                    if not said:
                        return False
                    if await claimed.take(said):
                        return True
                    line = asyncio.ensure_future(self._child.readline())
                if await claimed.must_stop():
                    await self._child.write(ABANDON)
        finally:
            line.cancel()
            with suppress(asyncio.CancelledError):
                await line

    async def _asked(self, row: Generation) -> Asked:
        version = await ModelVersion.get(id=row.version_id)
        model = await BaseModel.get(id=version.model_id)
        return Asked(
            served=Served(
                model_path=model.source,
                version_path=str(versions.folder(version, self._artifacts)),
                adapter=TrainingResult.model_validate(version.result).adapter,
                quantised=TrainingConfig.model_validate(version.config).quantised,
                base=row.of_base,
            ),
            messages=tuple(Message.model_validate(each) for each in row.messages),
            parameters=Parameters.model_validate(row.parameters),
        )


@dataclass
class _Claimed:
    """A row that this worker answers, and what there is of the answer."""

    row: Generation
    worker_id: str
    lease_seconds: float
    text: str = ""
    ended: bool = False
    told: str = ""
    told_at: float = field(default_factory=time.monotonic)
    stopping: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was said yet."""
        return not self.text and not self.ended

    async def take(self, line: bytes) -> bool:
        """Take over one reply; True for the last."""
        match parse_reply(line):
            case Piece(text=text):
                self.text += text
                return False
            case Ended() as ended if not self.stopping:
                await self.end(status=TaskStatus.READY, text=self.text, ending=_stored(ended))
            case Ended():
                await self.fail("ABANDONED", "Nobody waited for the answer.")
            case Unable(failure=failure):
                await self.end(status=TaskStatus.FAILED, text=self.text, error=_stored(failure))
        return True

    async def must_stop(self) -> bool:
        """Let the row grow; True once, where nobody wants it any more."""
        if time.monotonic() - self.told_at < TELL_SECONDS or self.stopping:
            return False
        self.told_at = time.monotonic()
        try:
            columns = {"lease_expires_at": lease_end(self.lease_seconds), "text": self.text}
            wanted = await self._held().filter(abandoned=False).update(**columns)
        except AWAY as error:
            logger.warning("the database is away: %s", error)
            return False
        self.stopping = not wanted
        return self.stopping

    async def fail(self, code: str, message: str) -> None:
        failure = Failure(code=code, message=message.strip(), remedy="Ask again.")
        await self.end(status=TaskStatus.FAILED, text=self.text, error=_stored(failure))

    async def end(self, **columns: Any) -> None:
        """Write down the last state, if the row is still this worker's."""
        self.ended = True
        _ = await self._held().update(worker_id=None, lease_expires_at=None, **columns)

    def _held(self) -> Any:
        held = {"worker_id": self.worker_id, "attempt": self.row.attempt}
        return Generation.filter(id=self.row.id, status=TaskStatus.RUNNING, **held)


def _stored(found: Ended | Failure) -> dict[str, Any]:
    return found.model_dump(mode="json")
