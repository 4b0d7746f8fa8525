"""Work that only answers once: a child process each, under the same lease rules as a training job.

The child reads a spec from its folder and answers with a `result.json` that holds a `result` or an
`error`; nothing else it does counts.
"""

import asyncio
import json
import logging
import shutil
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from tortoise.expressions import F

from jobs.artifacts import Artifacts
from jobs.data.examinations import ExamineDataset
from jobs.data.ingest import IngestFile
from jobs.data.token_examinations import ExamineTokens
from jobs.database import AWAY, transaction
from jobs.errors import LeaseLost
from jobs.execution.claims import lease_end
from jobs.execution.task_kinds import CheckModel, ExportVersion
from jobs.models import Generation
from jobs.models.base import Leased
from jobs.processes.child import Child
from jobs.processes.leaving import until_left
from jobs.queue import Work
from jobs.registry.measuring import EvaluateVersion
from jobs.runs.history import Lease
from jobs.settings import Settings
from jobs.status import TaskStatus
from jobs.task import Task
from training.events import Failure
from training.files import remove_leftovers
from training.progress.pulse import PulseReader

__all__ = ["TABLES", "TASKS", "perform", "requeue_lapsed"]

logger = logging.getLogger(__name__)

BEAT_SECONDS = 0.4
"""How often the lease is prolonged, and a row's progress told."""


TASKS: Mapping[Work, Task] = {
    Work.CHECK_MODEL: CheckModel(),
    Work.EXPORT: ExportVersion(),
    Work.EVALUATE: EvaluateVersion(),
    Work.INGEST: IngestFile(),
    Work.EXAMINE: ExamineDataset(),
    Work.EXAMINE_TOKENS: ExamineTokens(),
}


TABLES: Mapping[Work, type[Leased]] = {
    **{work: task.table for work, task in TASKS.items()},
    Work.ANSWER: Generation,
}
"""Whose rows a worker may hold, beside training jobs."""


@dataclass(frozen=True)
class _Claimed:
    task: Task
    row_id: UUID
    lease: Lease
    folder: Path

    async def update(self, **columns: object) -> None:
        """Change the row while it is ours; LeaseLost otherwise."""
        held = {"worker_id": self.lease.worker_id, "attempt": self.lease.attempt}
        rows = self.task.table.filter(id=self.row_id, status=TaskStatus.RUNNING, **held)
        if not await rows.update(**columns):
            raise LeaseLost(f"{self.task.table.__name__} {self.row_id} is no longer held.")


async def perform(
    work: Work, row_id: UUID, *, worker_id: str, settings: Settings, artifacts: Artifacts
) -> None:
    """Claim a QUEUED row and see its child through; somebody else's row is left alone.

    Cancelling this coroutine ends the child and puts the row back into the queue.
    """
    claim = partial(_claim, TASKS[work], row_id, worker_id, settings, artifacts)
    await until_left(partial(_attempt, claim, settings, artifacts))


async def _attempt(
    claim: Callable[[], Awaitable["_Claimed | None"]],
    settings: Settings,
    artifacts: Artifacts,
    leaving: asyncio.Event,
) -> None:
    claimed = await claim()
    if claimed is None:
        return
    try:
        await asyncio.to_thread(shutil.rmtree, claimed.folder, ignore_errors=True)
        module, *arguments = await claimed.task.command(claimed.row_id, claimed.folder, artifacts)
        log = claimed.folder / "task.log"
        child = await Child.start(module, *arguments, log=log, threads=settings.threads)
        try:
            refusal = await _watch(child, claimed, settings, leaving)
        finally:
            child.kill()
            exit_code = await child.wait()
        await asyncio.to_thread(remove_leftovers, claimed.folder)
        failure = refusal or _crash(claimed.task, exit_code, child.log_tail())
        await _conclude(claimed, failure, settings, left=leaving.is_set())
    except LeaseLost as lost:
        logger.warning("%s", lost)
        if not await claimed.task.table.exists(id=claimed.row_id):  # deleted meanwhile
            await asyncio.to_thread(shutil.rmtree, claimed.folder, ignore_errors=True)


async def _claim(
    task: Task, row_id: UUID, worker_id: str, settings: Settings, artifacts: Artifacts
) -> _Claimed | None:
    taken = await task.table.filter(id=row_id, status=TaskStatus.QUEUED).update(
        status=TaskStatus.RUNNING,
        worker_id=worker_id,
        lease_expires_at=lease_end(settings.lease_seconds),
        attempt=F("attempt") + 1,
    )
    if not taken:
        return None
    row = await task.table.get(id=row_id)
    return _Claimed(task, row_id, Lease(worker_id, row.attempt), task.folder(row_id, artifacts))


async def _watch(
    child: Child, claimed: _Claimed, settings: Settings, leaving: asyncio.Event
) -> Failure | None:
    """Keep the lease until the child has left, or this worker must, or the child is to be ended: why."""
    pulse, advanced_at = PulseReader(claimed.folder), time.monotonic()
    gone = asyncio.ensure_future(child.wait())
    left = asyncio.ensure_future(leaving.wait())
    try:
        while not gone.done() and not left.done():
            await asyncio.wait({gone, left}, timeout=BEAT_SECONDS, return_when=FIRST_COMPLETED)
            try:
                refusal = await _beat(claimed, settings)
            except AWAY as error:
                logger.warning("the database is away: %s", error)
                refusal = None
            if refusal is not None:
                return refusal
            if await asyncio.to_thread(pulse.has_moved):
                advanced_at = time.monotonic()
            elif time.monotonic() - advanced_at > settings.silence_seconds:
                return None if gone.done() else _hung(settings)
    finally:
        gone.cancel()
        left.cancel()
    return None


async def _beat(claimed: _Claimed, settings: Settings) -> Failure | None:
    columns: dict[str, object] = {"lease_expires_at": lease_end(settings.lease_seconds)}
    if claimed.task.tells_progress:
        columns["progress"] = await asyncio.to_thread(_progress, claimed.folder)
    await claimed.update(**columns)
    return await claimed.task.refusal(claimed.row_id, settings)


def _progress(folder: Path) -> float:
    with suppress(OSError, ValueError):
        return float((folder / "progress").read_text())
    return 0.0


async def _conclude(claimed: _Claimed, failure: Failure, settings: Settings, *, left: bool) -> None:
    """Write down the answer; without one, put the row back where this worker had to leave, or else
    the failure that this is."""
    columns: dict[str, Any] = {"worker_id": None, "lease_expires_at": None}
    answer = await asyncio.to_thread(_answer, claimed.folder / "result.json")
    if answer and answer.get("error"):
        columns |= {"status": TaskStatus.FAILED, "error": answer["error"]}
    elif answer:
        result = claimed.task.columns(answer["result"])
        columns |= {"status": TaskStatus.READY, "error": None, **result}
    elif left:
        columns |= {"status": TaskStatus.QUEUED}
    else:
        columns |= {"status": TaskStatus.FAILED, "error": failure.model_dump(mode="json")}
    async with transaction():
        await claimed.update(**columns)
        await claimed.task.settle(claimed.row_id, columns["status"], settings)
    logger.info("%s %s is %s", claimed.task.table.__name__, claimed.row_id, columns["status"])


def _answer(path: Path) -> dict[str, Any] | None:
    """What the child left in `result.json`; null for anything but a `result` or an `error`."""
    with suppress(OSError, ValueError):
        answer = json.loads(path.read_bytes())
        if isinstance(answer, dict) and any(
            isinstance(answer.get(key), dict) for key in ("result", "error")
        ):
            return answer
    return None


def _crash(task: Task, exit_code: int, tail: str) -> Failure:
    known = task.crash(exit_code)
    if known is not None:
        return known
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return Failure(
        code="CHILD_CRASHED",
        message=f"The process died with {how}. {tail[-500:]}".strip(),
        remedy="Ask again; signal 9 often means too little memory.",
    )


def _hung(settings: Settings) -> Failure:
    return Failure(
        code="CHILD_SILENT",
        message="The process did not advance for "
        f"{settings.silence_seconds:g} seconds and was ended.",
        remedy="Ask again; see whether the disk or network it reads from answers.",
    )


async def requeue_lapsed(work: Work, max_crashes: int) -> list[tuple[UUID, int]]:
    """Put rows of dead workers back into the queue, or fail those that always die.

    Gives every QUEUED row with its next attempt, for a hint to be sent.
    """
    table = TABLES[work]
    now = datetime.now(UTC)
    for row in await table.filter(status=TaskStatus.RUNNING, lease_expires_at__lt=now):
        again = row.crashes + 1 < max_crashes
        held = table.filter(id=row.id, status=TaskStatus.RUNNING, attempt=row.attempt)
        await held.filter(lease_expires_at__lt=now).update(
            status=TaskStatus.QUEUED if again else TaskStatus.FAILED,
            error=None if again else _LOST.model_dump(mode="json"),
            worker_id=None,
            lease_expires_at=None,
            crashes=row.crashes + 1,
        )
    waiting = await table.filter(status=TaskStatus.QUEUED).order_by("created_at").limit(100)
    return [(row.id, row.attempt + 1) for row in waiting]


_LOST = Failure(
    code="WORKER_LOST",
    message="The workers that tried this died, one after the other.",
    remedy="Look into the workers' logs and memory, and ask again.",
)
