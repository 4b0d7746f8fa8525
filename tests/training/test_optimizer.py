"""Every optimizer goes on from a checkpoint bit by bit."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter

from tests.training.jobs import of_kind, qa_rows, read_events, run_here
from training.config import Optimizer, TrainingConfig, TrainingType, resolve
from training.events import Outcome, Resumed, WarningRaised
from training.methods.optimizer import PAGED, make_optimizer, optimizer_tensors, restore_optimizer

MakeJob = Callable[..., Path]
EIGHT_BIT = (Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT)


def config(optimizer: Optimizer) -> TrainingConfig:
    return resolve(TrainingType.FULL, {"optimizer": optimizer, "learning_rate": 1e-2})


def parameters() -> dict[str, Parameter]:
    drawn = torch.Generator().manual_seed(0)
    shapes = {"large": (100, 64), "small": (8, 8), "bias": (64,), "long": (5000,)}
    return {name: Parameter(torch.randn(shape, generator=drawn)) for name, shape in shapes.items()}


def step(
    optimizer: torch.optim.Optimizer, moved: dict[str, Parameter], *, seeds: range
) -> dict[str, Tensor]:
    """Step once a seed; the weights after it."""
    for seed in seeds:
        drawn = torch.Generator().manual_seed(seed)
        for each in moved.values():
            each.grad = torch.randn(each.shape, generator=drawn)
        optimizer.step()
    return {name: each.detach().clone() for name, each in moved.items()}


@pytest.mark.parametrize("kind", Optimizer)
def test_the_state_survives_a_file_to_the_bit(kind: Optimizer, tmp_path: Path) -> None:
    whole = parameters()
    optimizer = make_optimizer(whole, config(kind))
    middle = step(optimizer, whole, seeds=range(3))
    stored = {name: each.detach().clone() for name, each in optimizer_tensors(optimizer).items()}
    save_file(optimizer_tensors(optimizer), tmp_path / "optimizer.safetensors")
    expected = step(optimizer, whole, seeds=range(3, 6))

    resumed = {name: Parameter(each) for name, each in middle.items()}
    again = make_optimizer(resumed, config(kind))
    restore_optimizer(again, load_file(tmp_path / "optimizer.safetensors"))
    restored = optimizer_tensors(again)
    assert restored.keys() == stored.keys()
    for name, each in restored.items():
        assert each.dtype == stored[name].dtype
        assert torch.equal(each, stored[name])
    found = step(again, resumed, seeds=range(3, 6))
    assert all(torch.equal(found[name], each) for name, each in expected.items())


@pytest.mark.parametrize("kind", Optimizer)
def test_eight_bit_optimizers_hold_the_moments_of_large_weights_in_bytes(kind: Optimizer) -> None:
    moved = parameters()
    optimizer = make_optimizer(moved, config(kind))
    step(optimizer, moved, seeds=range(1))
    in_bytes = {
        name.split(".")[0]
        for name, each in optimizer_tensors(optimizer).items()
        if each.dtype is torch.uint8
    }
    assert len(in_bytes) == (2 if kind in EIGHT_BIT else 0)


@pytest.mark.parametrize("kind", [each for each in Optimizer if each is not Optimizer.ADAMW])
def test_all_optimizers_are_adamw(kind: Optimizer) -> None:
    expected, found = parameters(), parameters()
    start = parameters()
    for moved, name in ((expected, Optimizer.ADAMW), (found, kind)):
        step(make_optimizer(moved, config(name)), moved, seeds=range(4))
    for name, each in found.items():
        distance = float((each - expected[name]).detach().norm())
        way = float((expected[name] - start[name]).detach().norm())
        assert distance <= (0.03 if kind in EIGHT_BIT else 1e-5) * way


def stop_after(looks: int) -> Callable[[], bool]:
    count = itertools.count(1)
    return lambda: next(count) >= looks


@pytest.mark.parametrize("kind", [each for each in Optimizer if each is not Optimizer.ADAMW])
def test_a_stopped_run_goes_on_to_the_very_same_model(make_job: MakeJob, kind: Optimizer) -> None:
    choices = {"optimizer": kind, "batch_size": 2, "epochs": 3, "rows": qa_rows(10)}
    whole, stopped = make_job("whole", **choices), make_job("stopped", **choices)
    run_here(whole)
    for looks in (9, 12):
        assert run_here(stopped, stop_after(looks)).outcome is Outcome.CANCELLED
    assert run_here(stopped).outcome is Outcome.COMPLETED
    assert len(of_kind(read_events(stopped), Resumed)) == 2
    warned = {event.code for event in of_kind(read_events(whole), WarningRaised)}
    assert warned == ({"NOT_PAGED"} if kind in PAGED else set())
    ours, theirs = (
        load_file(job / "model" / "adapter_model.safetensors") for job in (whole, stopped)
    )
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) == 0.0
    checkpoints = sorted((stopped / "checkpoints").iterdir())
    state = load_file(checkpoints[-1] / "optimizer.safetensors")
    assert any(each.dtype is torch.uint8 for each in state.values()) is (kind in EIGHT_BIT)
