"""Whole runs on a CUDA device: as near to those of the processor as bf16 is to fp32."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.jobs import losses, of_kind, qa_rows, read_events, run_here, whole_events
from training.config import TrainingType
from training.events import (
    Finished,
    MemoryEstimated,
    Outcome,
    ResourcesUsed,
    Resumed,
    WarningRaised,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

BOUND = 0.05
"""Of losses, relative: bf16 beside the processor's fp32, and dropout drawn by other generators."""

REPOSITORY = Path(__file__).parents[2]

AMID_THE_SECOND_EPOCH = """
from tests.training.killing import Moment, kill_at

kill_at(Moment.COMPUTE, 8)
"""
"""Done by a child before it trains: it is killed at its eighth step, when an epoch has five."""

REFUSED_ONCE = """
import torch
from training.engine.engine import Engine

backward = Engine.backward

def scarcely(engine, *packs, **options):
    Engine.backward = backward
    torch.empty(2**50, device="cuda")

Engine.backward = scarcely
"""
"""Asks the card for more than it has, in the first gradient's place."""

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


def test_a_base_in_four_bits_learns_nearly_the_same(make_job: MakeJob) -> None:
    whole = make_job("whole", training_type=TrainingType.LORA)
    small = make_job("small", training_type=TrainingType.QLORA)
    assert run_here(whole).outcome is Outcome.COMPLETED
    assert run_here(small).outcome is Outcome.COMPLETED
    assert losses(small) == pytest.approx(losses(whole), rel=BOUND)


def test_a_stopped_run_goes_on(make_job: MakeJob) -> None:
    whole, stopped = (make_job(name, rows=qa_rows(24)) for name in ("whole", "stopped"))
    run_here(whole)
    looks = itertools.count(1)
    assert run_here(stopped, lambda: next(looks) >= 9).outcome is Outcome.CANCELLED
    assert run_here(stopped).outcome is Outcome.COMPLETED
    assert len(of_kind(read_events(stopped), Resumed)) == 1
    assert losses(stopped) == pytest.approx(losses(whole), rel=BOUND)


def test_a_killed_run_goes_on(make_job: MakeJob) -> None:
    whole, killed = (make_job(name, rows=qa_rows(24)) for name in ("whole", "killed"))
    assert run_child(whole) == 0
    assert run_child(killed, AMID_THE_SECOND_EPOCH) == -signal.SIGKILL
    assert of_kind(whole_events(killed), Finished) == []
    assert run_child(killed) == 0
    (resumed,) = of_kind(read_events(killed), Resumed)
    assert resumed.checkpoint == "epoch-001-step-000005"
    assert outcome_of(killed) is outcome_of(whole) is Outcome.COMPLETED
    assert losses(killed) == pytest.approx(losses(whole), rel=BOUND)


def test_memory_that_the_card_refuses_halves_what_is_held(make_job: MakeJob) -> None:
    choices = {"rows": qa_rows(36), "batch_size": 16, "epochs": 1}
    whole, scarce = (make_job(name, **choices) for name in ("whole", "scarce"))
    assert run_child(whole) == 0
    assert run_child(scarce, REFUSED_ONCE) == 0
    (halved,) = of_kind(read_events(scarce), WarningRaised)
    assert halved.code == "TOKEN_BUDGET_HALVED"
    assert outcome_of(scarce) is Outcome.COMPLETED
    assert losses(scarce) == pytest.approx(losses(whole), rel=BOUND)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_run_that_is_replayed_uses_what_was_foreseen(make_job: MakeJob, dropout: float) -> None:
    rows = [{"question": f"What is {n}?", "answer": "one two three " * 30} for n in range(40)]
    job = make_job(rows=rows, batch_size=4, epochs=2, lora_dropout=dropout)
    assert run_child(job) == 0
    found = read_events(job)
    ((told,), (used,)) = (of_kind(found, kind) for kind in (MemoryEstimated, ResourcesUsed))
    assert told.memory.peak == pytest.approx(used.peak_memory_bytes, rel=0.15)


def run_child(job: Path, before: str = "") -> int:
    """Run a job in a process of its own, which does something before it trains."""
    program = (
        f"{before}\nimport sys\nfrom training.run import main\n\nsys.exit(main([{str(job)!r}]))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, check=False
    ).returncode


def outcome_of(job: Path) -> Outcome:
    end = read_events(job)[-1]
    assert isinstance(end, Finished)
    return end.outcome
