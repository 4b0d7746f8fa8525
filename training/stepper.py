"""Optimizer steps: gradients gathered over micro-batches, guarded, and undone when told to stop."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from training.adapters import restore_weights
from training.batches import Plan
from training.checkpoints import Tensors
from training.config import TrainingConfig
from training.errors import NonFiniteGradient, NonFiniteLoss, NothingTrained
from training.optimizer import (
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    trainable_parameters,
)
from training.rendering import Row
from training.schedule import learning_rate
from training.scores import Scores
from training.sharding import gathered, own_part, whole
from training.state import TrainingState
from training.world import WORLD_OF_ONE, World


class GradientSource(Protocol):
    """What a stepper needs of an engine."""

    def backward(self, rows: Sequence[Row], *, step_tokens: int) -> Scores:
        """Add the gradient of the rows' share in the mean loss over `step_tokens` tokens."""


class Measurement(NamedTuple):
    """A look at the step in progress, or at the one just done."""

    steps: float
    """Optimizer steps done, the finished share of the one in progress included."""
    scores: Scores
    learning_rate: float
    gradient_norm: float | None
    """Of the last whole step, before clipping; None until there is one."""
    tokens_per_second: float
    """Real tokens, padding not counted, while this process stepped."""


class Stepper:
    """A model, its optimizer, and where they stand.

    `state` always describes the last step boundary, and `tensors()` belongs to it.
    """

    def __init__(
        self,
        model: Module,
        gradients: GradientSource,
        rows: Sequence[Row],
        *,
        config: TrainingConfig,
        total_steps: int,
        world: World = WORLD_OF_ONE,
    ) -> None:
        self.model = model
        self._world = world
        self.total_steps = total_steps
        self._gradients = gradients
        self._rows = rows
        self._trained_tokens = [row.trained_tokens for row in rows]
        self._config = config
        self._plan = Plan(
            rows=len(rows),
            batch_size=config.batch_size,
            accumulation=config.gradient_accumulation_steps,
            shuffle=config.shuffle,
            seed=config.seed,
        )
        self._parameters = trainable_parameters(model)
        self._optimizer = make_optimizer(self._parameters, config)
        self._gradient_norm: float | None = None
        self._tokens = 0
        self._seconds = 0.0
        untrained = fingerprint(self._parameters, world)
        world.raise_unless_same("weights to begin with", [untrained.encode()])
        self.state = TrainingState(untrained=untrained)

    def tensors(self) -> Tensors:
        """Everything `restore` needs, beside `state`, to go on as if never interrupted.

        Whole, however many processes hold them; only the leader is given them.
        """
        return Tensors(
            gathered(self._parameters, keep=self._world.leads),
            gathered(optimizer_tensors(self._optimizer), keep=self._world.leads),
            _random_states(),
        )

    def restore(self, state: TrainingState, tensors: Tensors) -> None:
        """Stand where a checkpoint was saved."""
        restore_weights(self.model, tensors.weights)
        restore_optimizer(self._optimizer, tensors.optimizer)
        _restore_random_states(tensors.random)
        self.state = state

    def is_over(self) -> bool:
        """Whether no epoch is left to begin or to go on with."""
        done = self.state.epoch >= self._config.epochs or self.state.step >= self.total_steps
        return (done and self.state.step_in_epoch == 0) or self.state.stopped_early

    def run_epoch(
        self, *, measured: Callable[[Measurement], None], should_stop: Callable[[], bool]
    ) -> bool:
        """The steps left of the epoch in progress; False where it was stopped before their end.

        A step that a stop interrupts is undone. Raises `NonFiniteLoss`, `NonFiniteGradient` and
        `NothingTrained`, the weights being those of the last good step.
        """
        self.model.train()
        for step in self._plan.steps(self.state.epoch)[self.state.step_in_epoch :]:
            if self.state.step >= self.total_steps:
                break
            if should_stop() or not self._step(step, measured, should_stop):
                return False
        return True

    def raise_if_untrained(self) -> None:
        """Raise `NothingTrained` where no trainable weight differs from its first value."""
        if fingerprint(self._parameters, self._world) == self.state.untrained:
            raise NothingTrained(f"no weight moved in {self.state.step} steps")

    def _step(
        self,
        micro_batches: Sequence[Sequence[int]],
        measured: Callable[[Measurement], None],
        should_stop: Callable[[], bool],
    ) -> bool:
        started = time.monotonic()
        random_states = _random_states()
        rate = learning_rate(self.state.step, config=self._config, steps=self.total_steps)
        step_tokens = sum(self._trained_tokens[i] for indices in micro_batches for i in indices)
        scores = Scores()
        for done, indices in enumerate(micro_batches, start=1):
            rows = [self._rows[i] for i in indices]
            torch.manual_seed(self._draw(done))
            scores = scores.plus(self._gradients.backward(rows, step_tokens=step_tokens))
            if not math.isfinite(scores.loss_sum):
                raise NonFiniteLoss(self.state.epoch + 1, self.state.step + 1, scores.loss_sum)
            self._tokens += sum(len(row.input_ids) for row in rows)
            if done == len(micro_batches):
                break
            measured(self._measurement(done / len(micro_batches), scores, rate, started))
            if should_stop():
                self._optimizer.zero_grad()
                _restore_random_states(random_states)
                return False
        self._apply(rate)
        self._advance(scores, time.monotonic() - started)
        measured(self._measurement(0.0, scores, rate, time.monotonic()))
        return True

    def _apply(self, rate: float) -> None:
        """Move the weights, if the gradient is such that they may be moved."""
        epoch, step = self.state.epoch + 1, self.state.step + 1
        self._world.add_up_gradients(list(self._parameters.values()))
        norm = float(
            whole(
                torch.nn.utils.clip_grad_norm_(
                    self._parameters.values(), self._config.max_gradient_norm
                )
            )
        )
        if not math.isfinite(norm):
            raise NonFiniteGradient(epoch, step, norm)
        if norm == 0 and self.state.step == 0:
            raise NothingTrained("the gradient of the first step is zero")
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._gradient_norm = norm

    def _draw(self, micro_batch: int) -> int:
        """The seed of a micro-batch's dropout in this process: a function of where the run stands,
        so that each process, resumed or not, draws what it would have drawn."""
        place = f"{self._config.seed}:{self.state.step}:{micro_batch}:{self._world.rank}"
        return int.from_bytes(hashlib.sha256(place.encode()).digest()[:7], "big")

    def _advance(self, scores: Scores, seconds: float) -> None:
        state = self.state
        self._seconds += seconds
        self.state = state.model_copy(
            update={
                "step": state.step + 1,
                "step_in_epoch": state.step_in_epoch + 1,
                "scores": state.scores.plus(scores),
                "trained_tokens": state.trained_tokens + scores.tokens,
                "epoch_seconds": state.epoch_seconds + seconds,
            }
        )

    def _measurement(
        self, share: float, scores: Scores, rate: float, started: float
    ) -> Measurement:
        seconds = self._seconds + time.monotonic() - started
        return Measurement(
            steps=self.state.step + share,
            scores=scores,
            learning_rate=rate,
            gradient_norm=self._gradient_norm,
            tokens_per_second=self._tokens / max(seconds, 1e-9),
        )


def fingerprint(parameters: Mapping[str, Parameter], world: World) -> str:
    """A checksum of fp32 weights, cheap enough to take of a whole model, and the same whether it
    lies in one process or is split among several."""
    sums = [
        int(own_part(each.detach()).reshape(-1).view(torch.int32).sum(dtype=torch.int64))
        for each in parameters.values()
    ]
    if world.is_sharded:
        sums = world.add_up_integers(sums)
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_states(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
