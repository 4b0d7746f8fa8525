"""Steps that must not be taken, and steps that must be undone."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from training.config import TrainingType, resolve
from training.errors import NonFiniteGradient, NonFiniteLoss, NothingTrained
from training.rendering import Row
from training.scores import Scores
from training.stepper import Measurement, Stepper


class Gradients:
    """Sets every gradient to a value, and reports a loss."""

    def __init__(self, model: nn.Module, gradient: float, loss: float = 1.0) -> None:
        self.model, self.gradient, self.loss = model, gradient, loss

    def backward(self, rows: Sequence[Row], *, step_tokens: int) -> Scores:
        noise = torch.rand(())  # what dropout does to the random generator
        for each in self.model.parameters():
            added = torch.full_like(each, self.gradient) * noise / step_tokens
            each.grad = added if each.grad is None else each.grad + added
        return Scores(self.loss, 0, len(rows))


def stepper(gradient: float = 1.0, loss: float = 1.0, **choices: object) -> Stepper:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    rows = [Row(n, [1, 2], [-100, 2], b"") for n in range(8)]
    config = resolve(
        TrainingType.FULL,
        {"learning_rate": 0.1, "batch_size": 1, "gradient_accumulation_steps": 4, **choices},
    )
    return Stepper(model, Gradients(model, gradient, loss), rows, config=config, total_steps=6)


def ignore(_measurement: Measurement) -> None:
    pass


def weights(of: Stepper) -> torch.Tensor:
    return torch.cat([each.detach().flatten().clone() for each in of.model.parameters()])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(loss: float) -> None:
    subject = stepper(loss=loss)
    before = weights(subject)
    with pytest.raises(NonFiniteLoss, match="in epoch 1 at step 1"):
        subject.run_epoch(measured=ignore, should_stop=lambda: False)
    assert torch.equal(weights(subject), before)


def test_a_loss_that_is_not_finite_is_never_told_as_a_measurement() -> None:
    subject = stepper(loss=math.nan, gradient_accumulation_steps=2)
    told: list[Measurement] = []
    with pytest.raises(NonFiniteLoss, match="in epoch 1 at step 1"):
        subject.run_epoch(measured=told.append, should_stop=lambda: False)
    assert told == []


@pytest.mark.parametrize("gradient", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_stops_before_the_step(gradient: float) -> None:
    subject = stepper(gradient=gradient)
    before = weights(subject)
    with pytest.raises(NonFiniteGradient, match="in epoch 1 at step 1"):
        subject.run_epoch(measured=ignore, should_stop=lambda: False)
    assert torch.equal(weights(subject), before)


def test_a_first_gradient_of_zero_is_an_error() -> None:
    with pytest.raises(NothingTrained, match="the gradient of the first step is zero"):
        stepper(gradient=0.0).run_epoch(measured=ignore, should_stop=lambda: False)


def test_weights_that_do_not_move_are_an_error() -> None:
    subject = stepper(learning_rate=1e-30, weight_decay=0.0)
    subject.run_epoch(measured=ignore, should_stop=lambda: False)
    with pytest.raises(NothingTrained, match="no weight moved in 2 steps"):
        subject.raise_if_untrained()


def after(calls: int) -> Callable[[], bool]:
    """A stop that is asked for at the given look."""
    looks = iter(range(10**6))
    return lambda: next(looks) >= calls


def test_an_interrupted_step_is_undone_and_done_again_exactly() -> None:
    whole = stepper()
    assert whole.run_epoch(measured=ignore, should_stop=lambda: False)
    for calls in range(8):
        stopped = stepper()
        assert not stopped.run_epoch(measured=ignore, should_stop=after(calls))
        assert stopped.run_epoch(measured=ignore, should_stop=lambda: False)
        assert torch.equal(weights(stopped), weights(whole))
        assert stopped.state.scores == whole.state.scores


def test_a_step_is_measured_after_each_micro_batch() -> None:
    seen: list[Measurement] = []
    stepper().run_epoch(measured=seen.append, should_stop=lambda: False)
    assert [each.steps for each in seen] == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert [each.gradient_norm is None for each in seen] == [True] * 3 + [False] * 5


def test_norms_and_biases_are_not_decayed() -> None:
    subject = stepper(gradient=1e-12, weight_decay=1.0, learning_rate=0.01)
    groups = subject._optimizer.param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [
        (1.0, 1),
        (0.0, 1),
    ]
