"""Whole runs on a CUDA device: as near to those of the processor as bf16 is to fp32."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.jobs import losses, of_kind, qa_rows, read_events, run_here
from training.config import TrainingType
from training.events import Outcome, Resumed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

BOUND = 0.05
"""Of losses, relative: bf16 beside the processor's fp32, and dropout drawn by other generators."""

MakeJob = Callable[..., Path]


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FREEZE, TrainingType.FULL])
def test_a_run_learns_what_the_processor_learns(
    make_job: MakeJob, method: TrainingType, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, processor = (make_job(name, training_type=method) for name in ("card", "processor"))
    assert run_here(card).outcome is Outcome.COMPLETED
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run_here(processor).outcome is Outcome.COMPLETED
    assert losses(card) == pytest.approx(losses(processor), rel=BOUND)


def test_a_stopped_run_goes_on(make_job: MakeJob) -> None:
    whole, stopped = (make_job(name, rows=qa_rows(24)) for name in ("whole", "stopped"))
    run_here(whole)
    looks = itertools.count(1)
    assert run_here(stopped, lambda: next(looks) >= 9).outcome is Outcome.CANCELLED
    assert run_here(stopped).outcome is Outcome.COMPLETED
    assert len(of_kind(read_events(stopped), Resumed)) == 1
    assert losses(stopped) == pytest.approx(losses(whole), rel=BOUND)
