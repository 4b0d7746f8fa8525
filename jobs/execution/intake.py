"""Taking a child's events over into the database, each exactly once.

The child appends to `events.jsonl`; the job's row says how many bytes of it have been taken. The
events of a read and the new offset are written in one transaction: whoever is killed in between,
the next reader goes on where the last commit ended.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from jobs.database import transaction
from jobs.errors import LeaseLost
from jobs.models import Checkpoint, Epoch, TrainingJob
from jobs.runs.history import STATUS_CHANGED, Entry, Lease, append
from jobs.status import JobStatus, sources
from training.events import (
    CheckpointSaved,
    DataPrepared,
    EpochCompleted,
    Event,
    Finished,
    MemoryEstimated,
    PhaseStarted,
    Progress,
    ResourcesUsed,
    SamplesGenerated,
    StoppedEarly,
    TimeEstimated,
    WarningRaised,
    parse,
)

__all__ = ["EventLog", "take"]

logger = logging.getLogger(__name__)

MAX_READ_BYTES = 1 << 20
EXCERPT_BYTES = 200


@dataclass
class EventLog:
    """A child's event file and how far it has been taken."""

    path: Path
    offset: int
    last_word: Finished | None = None
    """The child's end, where the newest line tells of one.

    It stays untaken until another line follows, so that whoever comes after a killed worker finds
    it too.
    """

    async def read(self) -> tuple[list[Event], int]:
        """Whole lines not yet taken, and the offset after them. A torn last line waits."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[list[Event], int]:
        self.last_word = None
        whole, at_end = self._whole_lines()
        lines = whole.splitlines(keepends=True)
        events = [_parse(line) for line in lines]
        if at_end and events and isinstance(word := events[-1], Finished):
            self.last_word = word
            return events[:-1], self.offset + len(whole) - len(lines[-1])
        return events, self.offset + len(whole)

    def _whole_lines(self) -> tuple[bytes, bool]:
        """About a megabyte of whole lines, at least one, and whether these are all there are."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                chunk = file.read(MAX_READ_BYTES)
                while b"\n" not in chunk and (more := file.read(MAX_READ_BYTES)):
                    chunk += more
                at_end = not file.peek(1)
        except FileNotFoundError:
            return b"", True
        return chunk[: chunk.rfind(b"\n") + 1], at_end


def _parse(line: bytes) -> Event:
    try:
        return parse(line)
    except ValidationError as error:
        logger.warning("a line of a run's events cannot be read: %s", error)
        excerpt = line[:EXCERPT_BYTES].decode(errors="replace").strip()
        return WarningRaised(
            code="UNREADABLE_EVENT",
            message=f"The run said something that this service does not understand: {excerpt!r}",
            remedy="Run workers and API of one version; the run itself goes on.",
        )


async def take(job_id: UUID, lease: Lease, log: EventLog, *, live: bool = True) -> int | None:
    """Read on and write down what is new; null where nothing is. LeaseLost if another has it.

    Gives the newest event number. Not `live` are the left-over lines of a former attempt, whose
    phases say nothing of this one.
    """
    events, offset = await log.read()
    if offset == log.offset:
        return None
    async with transaction():
        held = {"worker_id": lease.worker_id, "attempt": lease.attempt}
        rows = TrainingJob.filter(id=job_id, log_offset=log.offset, **held)
        taken = await rows.update(log_offset=offset)
        job = await TrainingJob.get(id=job_id)
        if not taken:
            if (job.worker_id, job.attempt) != (lease.worker_id, lease.attempt):
                raise LeaseLost(f"Job {job_id} is no longer held in attempt {lease.attempt}.")
            log.offset = job.log_offset  # a commit that was done, though its answer was lost
            return int(job.last_seq)
        change = _change(job, [e for e in events if live or not isinstance(e, PhaseStarted)])
        if change.columns:
            await TrainingJob.filter(id=job_id).update(**change.columns)
        await _keep(job_id, events)
        last_seq = await append(job_id, change.entries)
    log.offset = offset
    return last_seq or int(job.last_seq)


@dataclass
class _Change:
    columns: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)


def _change(job: TrainingJob, events: Sequence[Event]) -> _Change:
    """What these events do to the job's row, and what its history will say of them."""
    change = _Change()
    status = job.status
    for event in events:
        if isinstance(event, Finished):
            continue  # of a former attempt, which this one goes on from
        if isinstance(event, PhaseStarted):
            to = JobStatus(event.phase)
            if status not in sources(to):
                continue
            data = {"from": status, "to": to, "reason": None}
            change.entries.append(Entry(STATUS_CHANGED, data, event.at))
            status = to
        else:
            data = event.model_dump(mode="json", exclude={"kind", "at"})
            change.entries.append(Entry(event.kind, data, event.at))
        change.columns |= _columns(job, event)
    if status is not job.status:
        change.columns["status"] = status
    return change


def _columns(job: TrainingJob, event: Event) -> dict[str, Any]:  # noqa: PLR0911  # one case an event
    match event:
        case Progress():
            return {
                "progress": event.progress,
                "current_epoch": event.epoch,
                "total_epochs": event.total_epochs,
                "step": event.step,
                "total_steps": event.total_steps,
                "training_loss": event.loss,
                "training_accuracy": event.accuracy,
                "tokens_per_second": event.tokens_per_second,
                "estimated_time_remaining": event.estimated_time_remaining,
            }
        case EpochCompleted():
            return {
                "training_loss": event.training_loss,
                "training_accuracy": event.training_accuracy,
                "validation_loss": event.validation_loss,
                "validation_accuracy": event.validation_accuracy,
                "final_epoch": event.epoch,
            }
        case DataPrepared():
            return {"total_steps": event.total_steps}
        case MemoryEstimated() | TimeEstimated() | ResourcesUsed():
            return _resources(job, event)
        case StoppedEarly():
            return {"stopped_early": True}
        case SamplesGenerated():
            job.samples = _with_samples(job.samples, event)
            return {"samples": job.samples}
        case _:
            return {}


def _resources(
    job: TrainingJob, event: MemoryEstimated | TimeEstimated | ResourcesUsed
) -> dict[str, Any]:
    """The figures of the newest attempt, whose estimate of memory comes first and replaces all."""
    match event:
        case MemoryEstimated():
            job.estimate = {"memory": event.memory.model_dump(mode="json"), "seconds": None}
            return {"estimate": job.estimate, "usage": None}
        case TimeEstimated():
            job.estimate = (job.estimate or {}) | {"seconds": event.seconds}
            return {"estimate": job.estimate}
        case ResourcesUsed():
            used = event.model_dump(mode="json", exclude={"kind", "at"})
            return {"usage": used | {"worker": job.worker_id}}


def _with_samples(
    samples: Sequence[dict[str, Any]], event: SamplesGenerated
) -> list[dict[str, Any]]:
    known = {sample["prompt"]: sample for sample in samples}
    side = event.stage.lower()
    return [
        {"before": None, "after": None}
        | known.get(sample.prompt, {})
        | {"prompt": sample.prompt, side: sample.answer}
        for sample in event.samples
    ]


async def _keep(job_id: UUID, events: Sequence[Event]) -> None:
    """The rows of epochs and checkpoints; a repeated one overwrites the former attempt's."""
    for event in events:
        if isinstance(event, EpochCompleted):
            figures = event.model_dump(exclude={"kind", "at", "epoch"})
            await Epoch.update_or_create(job_id=job_id, epoch=event.epoch, defaults=figures)
        elif isinstance(event, CheckpointSaved):
            await _keep_checkpoint(job_id, event)


async def _keep_checkpoint(job_id: UUID, event: CheckpointSaved) -> None:
    if event.best:
        await Checkpoint.filter(job_id=job_id, best=True).update(best=False)
    columns = {
        "epoch": event.epoch,
        "step": event.step,
        "validation_loss": event.validation_loss,
        "accuracy": event.validation_accuracy,
        "score": event.score,
        "size_bytes": event.size_bytes,
        "best": event.best,
        "requested": event.requested,
    }
    await Checkpoint.update_or_create(job_id=job_id, name=event.name, defaults=columns)
    if event.removed:
        await Checkpoint.filter(job_id=job_id, name__in=event.removed).delete()
