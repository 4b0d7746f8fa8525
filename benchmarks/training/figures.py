"""What a run of an arm took, and the proof that it worked, read from what it left."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training import events
from training.events import (
    DataPrepared,
    EpochCompleted,
    Event,
    Finished,
    Outcome,
    Phase,
    PhaseStarted,
    Progress,
    ResourcesUsed,
)


@dataclass(frozen=True)
class Training:
    """The training part of a run, as the program itself tells it; times since the epoch."""

    began_at: float
    first_step_at: float
    ended_at: float
    tokens: int
    """Of the rows, padding not counted."""
    label_tokens: int
    steps: int
    first_loss: float
    last_loss: float
    """Of the first step and of the last."""
    mean_loss: float
    """Over all label tokens of the run."""
    gradient_norm: float
    """The largest one told, before clipping."""
    held_bytes: int
    """The most that was held at once of what it trained in: a GPU's memory where there is one."""

    @property
    def seconds(self) -> float:
        """From before the first step to after the last."""
        return self.ended_at - self.began_at


@dataclass(frozen=True)
class Figures:
    """A whole run, from the start of its process to what it saved."""

    training: Training
    whole_seconds: float
    cpu_seconds: float
    """Of all threads of the whole process: what is left of the figures where others disturb them."""
    first_step_seconds: float
    """From the start of the process to the end of the first step."""
    peak_bytes: int
    changed_weights: int
    """How many of the `checked_weights` that were saved are not what they began as."""
    checked_weights: int

    @property
    def tokens_per_second(self) -> float:
        """Useful tokens, in training alone."""
        return self.training.tokens / self.training.seconds


def told_by_peer(folder: Path) -> Training:
    """What `peer.py` left in its folder."""
    told = json.loads((folder / "figures.json").read_bytes())
    losses: list[float] = told["losses"]
    labels: list[int] = told["label_tokens"]
    return Training(
        began_at=told["began"],
        first_step_at=told["first_step"],
        ended_at=told["ended"],
        tokens=sum(told["tokens"]),
        label_tokens=sum(labels),
        steps=len(losses),
        first_loss=losses[0],
        last_loss=losses[-1],
        mean_loss=sum(a * b for a, b in zip(losses, labels, strict=True)) / sum(labels),
        gradient_norm=max(told["gradient_norms"]),
        held_bytes=told["cuda_peak_bytes"],
    )


def told_by_job(folder: Path, one_step: Path) -> Training:
    """What a job of one epoch told in its events.

    Progress is told at most every quarter second, so that the end of the first step is known to within
    that, and its loss not always: it is that of the same job, told to end after one step, in the folder
    `one_step`. Exits where either did not complete.
    """
    told = _events(folder)
    prepared = next(event for event in told if isinstance(event, DataPrepared))
    began = next(
        event.at
        for event in told
        if isinstance(event, PhaseStarted) and event.phase is Phase.TRAINING
    )
    progress = [event for event in told if isinstance(event, Progress)]
    epoch = _epoch(told)
    return Training(
        began_at=began.timestamp(),
        first_step_at=next(event.at for event in progress if event.step >= 1).timestamp(),
        ended_at=epoch.at.timestamp(),
        tokens=prepared.tokens,
        label_tokens=prepared.trained_tokens,
        steps=progress[-1].step,
        first_loss=_epoch(_events(one_step)).training_loss,
        last_loss=progress[-1].loss,
        mean_loss=epoch.training_loss,
        gradient_norm=max(event.gradient_norm or 0.0 for event in progress),
        held_bytes=next(e.peak_memory_bytes for e in told if isinstance(e, ResourcesUsed)),
    )


def _events(folder: Path) -> list[Event]:
    told = [events.parse(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    end = told[-1]
    if not (isinstance(end, Finished) and end.outcome is Outcome.COMPLETED):
        raise SystemExit(f"the job in {folder} did not complete: {end}")
    return told


def _epoch(told: Sequence[Event]) -> EpochCompleted:
    return next(event for event in told if isinstance(event, EpochCompleted))
