"""A run that is ended at any moment, again and again, becomes the very same model."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.training.forked import estimate_nothing, hold_tokens, left, start_forked
from tests.training.jobs import of_kind, qa_rows, read_events, run_here, wait_for, whole_events
from tests.training.killing import Moment, kill_at
from tests.training.weights import difference
from training.config import TrainingType
from training.engine import making as engines
from training.engine.engine import Engine
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Finished,
    Outcome,
    Progress,
    Resumed,
)
from training.files import damage
from training.scores import Scores

MakeJob = Callable[..., Path]

TOKENS = 64
"""Held at once: a step of four rows has four micro-batches."""

KILLS = (
    (Moment.COMPUTE, 6, None),  # amid the second step of the first epoch
    (Moment.COMPUTE, 10, None),  # amid the second epoch
    (Moment.COMPUTE, 10, "epoch-001-step-000003"),  # amid the third epoch
    (Moment.NAME, 1, "epoch-002-step-000006"),  # the last checkpoint is whole and has no name
)
"""When to kill each attempt, and the checkpoint that it had gone on from."""

MORE_KILLS = (
    (Moment.SYNC, 4, None),  # what is held is noted; the first checkpoint lacks files
    (Moment.NAME, 1, None),  # it is whole and has no name
    (Moment.ANNOUNCE, 1, None),  # it is there, and nobody was told
    (Moment.COMPUTE, 6, "epoch-001-step-000003"),
    (Moment.TELL_EPOCH, 1, "epoch-001-step-000003"),  # between its last step and its checkpoint
    (Moment.DELETE, 1, "epoch-001-step-000003"),  # the second supersedes the first
    (Moment.SYNC, 9, "epoch-002-step-000006"),  # the third has its name, and nobody was told
    (Moment.NAME, 1, "epoch-003-step-000009"),  # the model is whole and has no name
)
"""What does not depend on the method."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("method", "kills"),
    [(TrainingType.LORA, MORE_KILLS), *((method, KILLS) for method in TrainingType)],
)
def test_a_run_that_is_killed_again_and_again_is_the_very_same_model(
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    method: TrainingType,
    kills: Sequence[tuple[Moment, int, str | None]],
) -> None:
    monkeypatch.setattr(engines, "CPU_TOKENS", TOKENS)
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
    shutil.copytree(whole / "tokens", job / "tokens")  # whose writing is not what is killed here
    for moment, count, resumed in kills:
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
    estimate_nothing()
    kill_at(moment, count)


def losses(job: Path) -> dict[int, set[str]]:
    """What was told of each epoch, as often as it was trained."""
    found: dict[int, set[str]] = {}
    for event in of_kind(read_events(job), EpochCompleted):
        figures = (event.training_loss, event.validation_loss, event.training_accuracy)
        found.setdefault(event.epoch, set()).add(repr(figures))
    return found


def work_slowly(seconds: float) -> None:
    """Make each micro-batch, of two or three rows, last so much longer."""
    backward = Engine.backward

    def slow(engine: Engine, *packs: object, **options: object) -> Scores:
        time.sleep(seconds)
        return backward(engine, *packs, **options)

    hold_tokens(100)
    estimate_nothing()
    Engine.backward = slow


@pytest.mark.slow
def test_a_stop_amid_a_long_step_is_answered_at_once_and_loses_no_step(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CPU_TOKENS", 100)
    choices = {"rows": qa_rows(90), "batch_size": 36, "epochs": 2, "lora_dropout": 0.1}
    whole, job = make_job("whole", **choices), make_job("stopped", **choices)
    run_here(whole)
    child = start_forked(job, work_slowly, 0.2)  # a step takes three seconds and more
    wait_for(job, lambda found: any(amid_second_step(event) for event in of_kind(found, Progress)))
    asked = time.monotonic()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGTERM)
    assert left(child) == 0
    assert time.monotonic() - asked < 2.0
    found = read_events(job)
    assert [event.step for event in of_kind(found, CheckpointSaved)] == [1]
    assert isinstance(found[-1], Finished)
    assert found[-1].outcome is Outcome.CANCELLED
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [1]
    assert difference(whole, job) == 0.0


def amid_second_step(event: Progress) -> bool:
    share = event.progress * event.total_steps / 100
    return 1.0 < share < 1.5
