"""Progress at a steady pace, however long a step, a validation or a save takes."""

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.jobs import of_kind
from tests.training.test_stepper import FakeEngine
from training.config import TrainingType, resolve
from training.data.rendering import Row
from training.devices.token_budget import TokenBudget
from training.engine.packs import Pack
from training.events import CheckpointSaved, EpochCompleted, Event, Progress
from training.progress.pace import Remaining, Stopwatch
from training.requests import SaveRequests
from training.scores import Scores
from training.steps import loop
from training.steps.checkpoints import Checkpoint, CheckpointStore, Tensors
from training.steps.loop import Run, train
from training.steps.stepper import Stepper

SECONDS = 0.9
"""Of each step, each validation and each save."""


class SlowEngine(FakeEngine):
    """Gradients that take their time."""

    def backward(self, packs: Sequence[Pack], *, share: float, seeds: Sequence[int]) -> Scores:
        time.sleep(SECONDS)
        return super().backward(packs, share=share, seeds=seeds)


class SlowStore(CheckpointStore):
    """A disk that takes its time."""

    def save(self, checkpoint: Checkpoint, tensors: Tensors) -> int:
        time.sleep(SECONDS)
        return super().save(checkpoint, tensors)


def _slow_evaluation(*_: Any, should_stop: Callable[[], bool], **_options: Any) -> Scores:
    for _part in range(3):
        time.sleep(SECONDS / 3)
        assert not should_stop()
    return Scores(1.0, 1, 2)


@pytest.mark.slow
def test_a_listener_hears_something_every_half_second_whatever_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "evaluate", _slow_evaluation)
    torch.manual_seed(1)
    engine = SlowEngine(nn.Linear(3, 2), gradient=1.0, loss=1.0)
    rows = [Row(1, [1, 2], [-100, 2], b"")]
    config = resolve(TrainingType.FULL, {"learning_rate": 0.1, "epochs": 2, "batch_size": 1})
    told: list[Event] = []
    remaining = Remaining([2, 2], scored_tokens=6, written_bytes=0, answering_seconds=0.0)
    stopwatch = Stopwatch(remaining, first_step=0, age=time.monotonic, tell=lambda _seconds: None)
    run = Run(
        stepper=Stepper(engine, rows, config=config, total_steps=2),
        validation=rows,
        training_rows=1,
        config=config,
        store=SlowStore(tmp_path),
        emit=told.append,
        should_stop=lambda: False,
        requests=SaveRequests(tmp_path),
        token_budget=TokenBudget(tmp_path),
    )
    assert train(run, stopwatch)
    assert len(of_kind(told, EpochCompleted)) == len(of_kind(told, CheckpointSaved)) == 2
    times = [event.at for event in of_kind(told, Progress)]
    span = (times[-1] - times[0]).total_seconds()
    assert span > 4 * SECONDS  # an end, a step, and another end
    gaps = sorted((later - at).total_seconds() for at, later in itertools.pairwise(times))
    assert gaps[len(gaps) // 2] <= 0.5
    assert gaps[-1] < 0.8  # half a second, and slack for a machine that is busy
