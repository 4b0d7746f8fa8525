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

from tortoise.transactions import in_transaction

from jobs.errors import LeaseLost
from jobs.history import STATUS_CHANGED, Entry, Lease, append
from jobs.models import Checkpoint, Epoch, TrainingJob
from jobs.status import JobStatus, sources
from training.events import (
    CheckpointSaved,
    DataPrepared,
    EpochCompleted,
    Event,
    Finished,
    PhaseStarted,
    Progress,
    SamplesGenerated,
    StoppedEarly,
    parse,
)

__all__ = ["EventLog", "Taken", "take"]

logger = logging.getLogger(__name__)

MAX_READ_BYTES = 1 << 20


@dataclass
class EventLog:
    """A child's event file and how far it has been taken."""

    path: Path
    offset: int

    async def read(self) -> tuple[list[Event], int]:
        """Whole lines not yet taken, and the offset after them. A torn last line waits."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[list[Event], int]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                chunk = file.read(MAX_READ_BYTES)
        except FileNotFoundError:
            return [], self.offset
        whole = chunk[: chunk.rfind(b"\n") + 1]
        return [parse(line) for line in whole.splitlines() if line], self.offset + len(whole)


@dataclass
class Taken:
    """What a read amounted to: the newest event number, and the child's last word if it came."""

    last_seq: int = 0
    finished: Finished | None = None


async def take(job_id: UUID, lease: Lease, log: EventLog, *, live: bool = True) -> Taken | None:
    """Read on and write down what is new; null where nothing is. LeaseLost if another has it.

    Not `live` are the left-over lines of a former attempt, whose phases say nothing of this one.
    """
    events, offset = await log.read()
    if offset == log.offset:
        return None
    taken = Taken()
    async with in_transaction():
        held = {"worker_id": lease.worker_id, "attempt": lease.attempt, "log_offset": log.offset}
        if not await TrainingJob.filter(id=job_id, **held).update(log_offset=offset):
            raise LeaseLost(f"Job {job_id} is no longer held in attempt {lease.attempt}.")
        job = await TrainingJob.get(id=job_id)
        change = _change(job, [e for e in events if live or not isinstance(e, PhaseStarted)])
        if change.columns:
            await TrainingJob.filter(id=job_id).update(**change.columns)
        await _keep(job_id, events)
        taken.last_seq = await append(job_id, change.entries)
        taken.finished = change.finished
    log.offset = offset
    return taken


@dataclass
class _Change:
    columns: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    finished: Finished | None = None


def _change(job: TrainingJob, events: Sequence[Event]) -> _Change:
    """What these events do to the job's row, and what its history will say of them."""
    change = _Change()
    status = job.status
    for event in events:
        if isinstance(event, Finished):
            change.finished = event
            continue
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


def _columns(job: TrainingJob, event: Event) -> dict[str, Any]:
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
        case StoppedEarly():
            return {"stopped_early": True}
        case SamplesGenerated():
            job.samples = _with_samples(job.samples, event)
            return {"samples": job.samples}
        case _:
            return {}


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
        "size_bytes": event.size_bytes,
        "best": event.best,
    }
    await Checkpoint.update_or_create(job_id=job_id, name=event.name, defaults=columns)
    if event.removed:
        await Checkpoint.filter(job_id=job_id, name__in=event.removed).delete()
