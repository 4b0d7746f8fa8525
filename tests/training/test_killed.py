"""A run that SIGKILL ends at any moment, again and again, becomes the very same model."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.forked import hold_tokens, left, start_forked
from tests.training.jobs import of_kind, qa_rows, read_events, run_here
from tests.training.killing import Moment, kill_at
from tests.training.weights import difference
from training import events, preparation
from training.config import TrainingType
from training.events import EpochCompleted, Event, Finished, Outcome, Resumed
from training.files import damage

MakeJob = Callable[..., Path]

TOKENS = 64
"""Held at once: a step of four rows has four micro-batches."""

KILLS = (
    (Moment.COMPUTE, 6, None),  # amid the second step of the first epoch
    (Moment.SYNC, 2, None),  # the first checkpoint lacks files
    (Moment.NAME, 1, None),  # it is whole and has no name
    (Moment.ANNOUNCE, 1, None),  # it is there, and nobody was told
    (Moment.COMPUTE, 6, "epoch-001-step-000003"),  # amid the second epoch
    (Moment.TELL_EPOCH, 1, "epoch-001-step-000003"),  # between its last step and its checkpoint
    (Moment.DELETE, 1, "epoch-001-step-000003"),  # the second supersedes the first
    (Moment.COMPUTE, 6, "epoch-002-step-000006"),  # amid the third epoch
    (Moment.SYNC, 6, "epoch-002-step-000006"),
    (Moment.NAME, 1, "epoch-003-step-000009"),  # the model is whole and has no name
)
"""When to kill each attempt, and the checkpoint that it had gone on from."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_a_run_that_is_killed_ten_times_is_the_very_same_model(
    make_job: MakeJob, method: TrainingType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "CPU_TOKENS", TOKENS)
    choices = {
        "training_type": method,
        "rows": qa_rows(12),
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "epochs": 3,
        "lora_dropout": 0.1,
        "checkpointing": {"keep_best": 1},
    }
    whole, job = make_job("whole", **choices), make_job("killed", **choices)
    assert run_here(whole).outcome is Outcome.COMPLETED
    for moment, count, resumed in KILLS:
        told = len(whole_events(job))
        assert left(start_forked(job, kill_in_small_steps, moment, count)) == -signal.SIGKILL
        attempt = of_kind(whole_events(job)[told:], Resumed)
        assert [event.checkpoint for event in attempt] == ([] if resumed is None else [resumed])
    assert run_here(job).outcome is Outcome.COMPLETED
    assert len(of_kind(read_events(job), Finished)) == 1
    assert damage(job / "model") is None
    assert difference(whole, job) == 0.0
    assert losses(job) == losses(whole)


def kill_in_small_steps(moment: Moment, count: int) -> None:
    hold_tokens(TOKENS)
    kill_at(moment, count)


def whole_events(job: Path) -> list[Event]:
    """The events so far, without the one that a killed writer left torn."""
    path = job / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [events.parse(line) for line in lines if line.endswith(b"\n")]


def losses(job: Path) -> dict[int, set[str]]:
    """What was told of each epoch, as often as it was trained."""
    found: dict[int, set[str]] = {}
    for event in of_kind(read_events(job), EpochCompleted):
        figures = (event.training_loss, event.validation_loss, event.training_accuracy)
        found.setdefault(event.epoch, set()).add(repr(figures))
    return found
