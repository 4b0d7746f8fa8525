"""What ends a step, by torch's operations and by kernels of our own: one moves weights as the other does."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.config import Optimizer, TrainingType, resolve
from training.devices.world import WORLD_OF_ONE, World
from training.engine.gradients import Gradients
from training.engine.native import adamw
from training.engine.native.library import Library, library
from training.engine.trainable import TrainableWeights
from training.methods.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from training.steps.update import Update, update_for

STEPS = 12


class TwoLanes:
    """Stands for an engine: of its parameters one is never touched, one by the second lane alone, and
    one from the sixth step on."""

    def __init__(self, dtype: torch.dtype = torch.bfloat16) -> None:
        torch.manual_seed(0)
        shapes = {
            "both": (33, 20),
            "vector": (17,),
            "second": (5, 5),
            "late": (3,),
            "never": (4, 4),
        }
        model = nn.ParameterDict({name: torch.randn(shape) for name, shape in shapes.items()})
        self.weights = TrainableWeights(model, dtype)
        self.gradients = [Gradients(), Gradients()]

    def collect(self) -> None:
        self.weights.collect(self.gradients)

    def compute(self, step: int) -> None:
        drawn = torch.Generator().manual_seed(step)
        named = dict(zip(self.weights.masters, self.weights.parameters, strict=True))
        touched = [["both", "vector"], ["both", "vector", "second", *["late"] * (step >= 6)]]
        for lane, names in zip(self.gradients, touched, strict=True):
            for name in names:
                gradient = torch.randn(named[name].shape, generator=drawn) * 0.03 ** (step % 3)
                lane.add(named[name], gradient)


class Training:
    """An engine and its optimizer, moved by one way or the other."""

    def __init__(self, *, kernels: bool, dtype: torch.dtype = torch.bfloat16) -> None:
        config = resolve(TrainingType.FULL, {"weight_decay": 0.1})
        self.engine = TwoLanes(dtype)
        self.optimizer = make_optimizer(self.engine.weights.masters, config)
        with pytest.MonkeyPatch.context() as patched:
            if not kernels:
                patched.setattr(adamw, "library", lambda: Library(None, "no compiler"))
            self.update = update(self.engine, self.optimizer)
        self.norms: list[float] = []

    def go(self, steps: range) -> None:
        for step in steps:
            self.engine.compute(step)
            self.norms.append(self.update.gather())
            self.update.move(1e-2 / (step + 1))

    def tensors(self) -> dict[str, Tensor]:
        masters = {name: each.detach() for name, each in self.engine.weights.masters.items()}
        return masters | optimizer_tensors(self.optimizer)


def update(
    engine: TwoLanes, optimizer: torch.optim.Optimizer, world: World = WORLD_OF_ONE
) -> Update:
    return update_for(engine, optimizer, max_norm=1.0, world=world)


def kind_of(
    optimizer: Optimizer = Optimizer.ADAMW,
    *,
    world: World = WORLD_OF_ONE,
    dtype: torch.dtype = torch.bfloat16,
) -> str:
    engine = TwoLanes(dtype)
    config = resolve(TrainingType.FULL, {"optimizer": optimizer})
    chosen = update(engine, make_optimizer(engine.weights.masters, config), world)
    return type(chosen).__name__


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_both_ways_move_weights_alike(dtype: torch.dtype) -> None:
    ours, theirs = (Training(kernels=each, dtype=dtype) for each in (True, False))
    untouched = ours.tensors()["never"].clone()
    for each in (ours, theirs):
        each.go(range(STEPS))
    assert ours.norms == pytest.approx(theirs.norms, rel=1e-6)
    assert max(ours.norms) > 1 > min(ours.norms)  # some are clipped, and some not
    found, wanted = ours.tensors(), theirs.tensors()
    assert found.keys() == wanted.keys()
    assert [float(each) for name, each in found.items() if "step" in name] == [12, 12, 12, 6]
    for name, each in found.items():
        torch.testing.assert_close(each, wanted[name], rtol=1e-5, atol=1e-6)
    assert torch.equal(found["never"], untouched)
    for master, computed in zip(
        ours.engine.weights.masters.values(), ours.engine.weights.parameters, strict=True
    ):
        assert torch.equal(computed, master.to(dtype))


def test_weights_that_come_to_lie_elsewhere_are_found_there() -> None:
    still, moved = Training(kernels=True), Training(kernels=True)
    for each in (still, moved):
        each.go(range(2))
    for each in (*moved.engine.weights.masters.values(), *moved.engine.weights.parameters):
        each.data = each.data.clone()
    for each in (still, moved):
        each.go(range(2, 4))
    found, wanted = moved.tensors(), still.tensors()
    assert all(torch.equal(each, wanted[name]) for name, each in found.items())
    for ours, theirs in zip(
        moved.engine.weights.parameters, still.engine.weights.parameters, strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_run_goes_on_by_either_way_from_a_checkpoint_of_either(
    before: bool, after: bool, tmp_path: Path
) -> None:
    whole, stopped, resumed = (Training(kernels=each) for each in (after, before, after))
    whole.go(range(STEPS))
    stopped.go(range(8))
    save_file(optimizer_tensors(stopped.optimizer), tmp_path / "optimizer")
    resumed.go(range(3))  # what is there is given up
    restore_optimizer(resumed.optimizer, load_file(tmp_path / "optimizer"))
    resumed.engine.weights.restore(
        {name: each.detach().clone() for name, each in stopped.engine.weights.masters.items()}
    )
    resumed.go(range(8, STEPS))
    found, wanted = resumed.tensors(), whole.tensors()
    assert found.keys() == wanted.keys()
    exact = before is after
    for name, each in found.items():
        torch.testing.assert_close(
            each, wanted[name], rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6
        )


def test_kernels_are_for_adamw_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    if library().kernels is not None:
        assert kind_of() == "_InTwoPasses"
        assert kind_of(dtype=torch.float32) == "_InTwoPasses"
    assert kind_of(world=World(0, 2, 2)) == "_ByOperations"
    assert kind_of(Optimizer.PAGED_ADAMW) == "_ByOperations"
    assert kind_of(Optimizer.ADAMW_8BIT) == "_ByOperations"
    monkeypatch.setattr(adamw, "library", lambda: Library(None, "there is no C++ compiler"))
    assert kind_of() == "_ByOperations"
