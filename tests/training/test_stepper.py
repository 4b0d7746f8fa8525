"""Steps that must not be taken, and steps that must be undone."""

import math
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import nn

from training.config import TrainingType, resolve
from training.data.rendering import Row
from training.engine.gradients import Gradients
from training.engine.native import adamw
from training.engine.native.library import Library
from training.engine.packs import Pack, make_pack
from training.engine.trainable import TrainableWeights
from training.errors import NothingTrained, OutOfMemory
from training.scores import Scores
from training.steps.errors import NonFiniteGradient, NonFiniteLoss
from training.steps.stepper import Measurement, Stepper, Watch


@pytest.fixture(autouse=True, params=["kernels", "operations"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is made with the kernels of the machine, where it has some, and without."""
    if request.param == "operations":
        monkeypatch.setattr(adamw, "library", lambda: Library(None, "there is no C++ compiler"))


class FakeEngine:
    """Sets every gradient to a value that depends on the pack's seed, and reports a loss."""

    def __init__(self, model: nn.Module, gradient: float, loss: float) -> None:
        self.gradient, self.loss = gradient, loss
        self.weights = TrainableWeights(model, torch.float32)
        self.budget = 8
        self.gradients = [Gradients()]

    @property
    def amid_a_step(self) -> bool:
        return bool(self.gradients[0]._begun)

    def round_count(self, rows: Sequence[Row]) -> int:
        return -(-len(rows) // (self.budget // 2))

    def rounds(self, rows: Sequence[Row]) -> Iterator[list[Pack]]:
        width = self.budget // 2
        yield from ([make_pack(rows[n : n + width])] for n in range(0, len(rows), width))

    def backward(self, packs: Sequence[Pack], *, share: float, seeds: Sequence[int]) -> Scores:
        (pack,), (seed,) = packs, seeds
        for each in self.weights.parameters:
            added = torch.full_like(each, self.gradient) * (1 + seed % 7) * share
            self.gradients[0].add(each, added)
        return Scores(self.loss, 0, len(pack.targets))

    def collect(self) -> None:
        self.weights.collect(self.gradients)

    def discard(self) -> None:
        self.gradients[0].clear()

    def renew_lanes(self) -> None:
        """There are none."""

    def halve_budget(self) -> bool:
        self.budget //= 2
        return self.budget >= 2


class SmallMemory(FakeEngine):
    """Runs out of memory, after some of a step, while it holds more tokens than `bearable`."""

    bearable = 4

    def backward(self, packs: Sequence[Pack], *, share: float, seeds: Sequence[int]) -> Scores:
        if self.amid_a_step and self.budget > self.bearable:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 123 bytes")
        return super().backward(packs, share=share, seeds=seeds)


def stepper(
    gradient: float = 1.0,
    loss: float = 1.0,
    *,
    kind: type[FakeEngine] = FakeEngine,
    budget: int = 2,
    **choices: object,
) -> Stepper:
    torch.manual_seed(1)
    rows = [Row(n + 1, [1, 2], [-100, 2], b"") for n in range(8)]
    config = resolve(
        TrainingType.FULL,
        {"learning_rate": 0.1, "batch_size": 1, "gradient_accumulation_steps": 4, **choices},
    )
    engine = kind(nn.Linear(3, 2), gradient, loss)
    engine.budget = budget
    return Stepper(engine, rows, config=config, total_steps=6)


def watch(
    measured: Callable[[Measurement], None] = lambda _measurement: None,
    should_stop: Callable[[], bool] = lambda: False,
    halved: Callable[[int, OutOfMemory], None] = lambda _budget, _error: None,
) -> Watch:
    return Watch(measured, should_stop, halved)


def weights(of: Stepper) -> torch.Tensor:
    return torch.cat(
        [each.detach().flatten().clone() for each in of.engine.weights.masters.values()]
    )


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(loss: float) -> None:
    subject = stepper(loss=loss)
    before = weights(subject)
    with pytest.raises(NonFiniteLoss, match="in epoch 1 at step 1"):
        subject.run_epoch(watch())
    assert torch.equal(weights(subject), before)


def test_a_loss_that_is_not_finite_is_never_told_as_a_measurement() -> None:
    subject = stepper(loss=math.nan, gradient_accumulation_steps=2)
    told: list[Measurement] = []
    with pytest.raises(NonFiniteLoss, match="in epoch 1 at step 1"):
        subject.run_epoch(watch(told.append))
    assert told == []


@pytest.mark.parametrize("gradient", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_stops_before_the_step(gradient: float) -> None:
    subject = stepper(gradient=gradient, shuffle=False)
    before = weights(subject)
    with pytest.raises(NonFiniteGradient, match="at step 1, which sees the records 1, 2, 3, 4"):
        subject.run_epoch(watch())
    assert torch.equal(weights(subject), before)


def test_a_first_gradient_of_zero_is_an_error() -> None:
    with pytest.raises(NothingTrained, match="the gradient of the first step is zero"):
        stepper(gradient=0.0).run_epoch(watch())


def test_weights_that_do_not_move_are_an_error() -> None:
    subject = stepper(learning_rate=1e-30, weight_decay=0.0)
    subject.run_epoch(watch())
    with pytest.raises(NothingTrained, match="no weight moved in 2 steps"):
        subject.raise_if_untrained()


def after(calls: int) -> Callable[[], bool]:
    """A stop that is asked for at the given look."""
    looks = iter(range(10**6))
    return lambda: next(looks) >= calls


def test_an_interrupted_step_is_undone_and_done_again_exactly() -> None:
    whole = stepper()
    assert whole.run_epoch(watch())
    for calls in range(8):
        stopped = stepper()
        assert not stopped.run_epoch(watch(should_stop=after(calls)))
        assert stopped.run_epoch(watch())
        assert torch.equal(weights(stopped), weights(whole))
        assert stopped.state.scores == whole.state.scores


def test_a_step_is_measured_after_each_micro_batch() -> None:
    seen: list[Measurement] = []
    stepper().run_epoch(watch(seen.append))
    assert [each.steps for each in seen] == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert [each.gradient_norm is None for each in seen] == [True] * 3 + [False] * 5


def test_norms_and_biases_are_not_decayed() -> None:
    subject = stepper(gradient=1e-12, weight_decay=1.0, learning_rate=0.01)
    groups = subject._optimizer.param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [
        (1.0, 1),
        (0.0, 1),
    ]


def test_a_loss_that_is_not_finite_names_the_records_of_its_micro_batch() -> None:
    with pytest.raises(NonFiniteLoss, match="in the micro-batch of the records 1, 2") as raised:
        stepper(loss=math.nan, budget=4, shuffle=False).run_epoch(watch())
    assert raised.value.code == "NON_FINITE_LOSS"


def test_memory_that_runs_out_halves_what_is_held_and_not_the_step() -> None:
    told: list[tuple[int, str]] = []
    subject = stepper(kind=SmallMemory, budget=8, batch_size=4, gradient_accumulation_steps=2)
    assert subject.run_epoch(watch(halved=lambda budget, error: told.append((budget, error.code))))
    assert told == [(4, "OUT_OF_MEMORY")]
    alone = stepper(budget=4, batch_size=4, gradient_accumulation_steps=2)
    assert alone.run_epoch(watch())
    assert torch.equal(weights(subject), weights(alone))
    assert subject.state.scores == alone.state.scores
    assert subject.state.token_budget == 4


def test_memory_that_cannot_be_halved_further_is_an_error_and_moves_nothing() -> None:
    subject = stepper(kind=SmallMemory, budget=8, batch_size=8, gradient_accumulation_steps=1)
    subject.engine.bearable = 0
    before = weights(subject)
    with pytest.raises(OutOfMemory, match="tried 123 bytes"):
        subject.run_epoch(watch())
    assert torch.equal(weights(subject), before)


def test_a_lowered_budget_is_resumed_with() -> None:
    lowered = stepper(kind=SmallMemory, budget=8, batch_size=4, gradient_accumulation_steps=2)
    assert lowered.run_epoch(watch())
    resumed = stepper(budget=8)
    resumed.restore(lowered.state, lowered.tensors())
    assert resumed.engine.budget == 4
