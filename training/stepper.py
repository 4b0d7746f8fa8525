"""Optimizer steps: gradients gathered over micro-batches, guarded, and undone when told to stop."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch.nn import Parameter

from training.batches import Plan
from training.checkpoints import Tensors
from training.config import TrainingConfig
from training.engine.engine import Engine
from training.engine.packs import Pack
from training.errors import NonFiniteGradient, NonFiniteLoss, NothingTrained, OutOfMemory
from training.libraries import memory_failures_named
from training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from training.rendering import Row
from training.schedule import learning_rate
from training.scores import Scores
from training.state import TrainingState


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


class Watch(NamedTuple):
    """Who is told what while steps are taken, and who may stop them."""

    measured: Callable[[Measurement], None]
    should_stop: Callable[[], bool]
    halved: Callable[[int, OutOfMemory], None]
    """Called with the tokens now held at once, after memory ran out with twice as many."""


class Stepper:
    """An engine, its optimizer, and where they stand.

    `state` always describes the last step boundary, and `tensors()` belongs to it.
    """

    def __init__(
        self, engine: Engine, rows: Sequence[Row], *, config: TrainingConfig, total_steps: int
    ) -> None:
        self.engine = engine
        self.total_steps = total_steps
        self._rows = rows
        self._config = config
        self._plan = Plan(
            rows=len(rows),
            rows_per_step=config.batch_size * config.gradient_accumulation_steps,
            shuffle=config.shuffle,
            seed=config.seed,
        )
        self._masters = engine.weights.masters
        self._optimizer = make_optimizer(self._masters, config)
        self._gradient_norm: float | None = None
        self._tokens = 0
        self._seconds = 0.0
        self.state = TrainingState(untrained=fingerprint(self._masters), token_budget=engine.budget)

    def tensors(self) -> Tensors:
        """Everything `restore` needs, beside `state`, to go on as if never interrupted.

        What dropout drops is a function of the seed and the step, so that no random generator has
        a state to be kept.
        """
        return Tensors(self._masters, optimizer_tensors(self._optimizer))

    def restore(self, state: TrainingState, tensors: Tensors) -> None:
        """Stand where a checkpoint was saved."""
        self.engine.weights.restore(tensors.weights)
        restore_optimizer(self._optimizer, tensors.optimizer)
        self.engine.budget = state.token_budget or self.engine.budget
        self.state = state

    def is_over(self) -> bool:
        """Whether no epoch is left to begin or to go on with."""
        done = self.state.epoch >= self._config.epochs or self.state.step >= self.total_steps
        return (done and self.state.step_in_epoch == 0) or self.state.stopped_early

    def run_epoch(self, watch: Watch) -> bool:
        """The steps left of the epoch in progress; False where it was stopped before their end.

        A step that a stop interrupts is undone. Raises `NonFiniteLoss`, `NonFiniteGradient`,
        `NothingTrained` and `OutOfMemory`, the weights being those of the last good step.
        """
        for step in self._plan.steps(self.state.epoch)[self.state.step_in_epoch :]:
            if self.state.step >= self.total_steps:
                break
            if watch.should_stop() or not self._step([self._rows[i] for i in step], watch):
                return False
        return True

    def raise_if_untrained(self) -> None:
        """Raise `NothingTrained` where no trainable weight differs from its first value."""
        if fingerprint(self._masters) == self.state.untrained:
            raise NothingTrained(f"no weight moved in {self.state.step} steps")

    def _step(self, rows: Sequence[Row], watch: Watch) -> bool:
        started = time.monotonic()
        rate = learning_rate(self.state.step, config=self._config, steps=self.total_steps)
        scores = self._backward(rows, rate=rate, started=started, watch=watch)
        if scores is None:
            self.engine.discard()
            return False
        self._apply(rate)
        self._advance(scores, time.monotonic() - started)
        watch.measured(self._measurement(0.0, scores, rate=rate, started=time.monotonic()))
        return True

    def _backward(
        self, rows: Sequence[Row], *, rate: float, started: float, watch: Watch
    ) -> Scores | None:
        """The step's gradients, with as many tokens at once as memory takes; None if stopped."""
        while True:
            try:
                with memory_failures_named():
                    return self._gradients(rows, rate=rate, started=started, watch=watch)
            except OutOfMemory as error:
                self.engine.discard()
                if not self.engine.halve_budget():
                    raise
                watch.halved(self.engine.budget, error)

    def _gradients(
        self, rows: Sequence[Row], *, rate: float, started: float, watch: Watch
    ) -> Scores | None:
        tokens = sum(len(row.input_ids) for row in rows)
        share = 1 / sum(row.trained_tokens for row in rows)
        scores, done = Scores(), 0
        for packs, seeds in self._seeded(self.engine.rounds(rows)):
            scores = scores.plus(self.engine.backward(packs, share=share, seeds=seeds))
            if not math.isfinite(scores.loss_sum):
                lines = [row.line for pack in packs for row in pack.rows]
                raise NonFiniteLoss(
                    self.state.epoch + 1, self.state.step + 1, scores.loss_sum, lines=lines
                )
            done += sum(pack.tokens for pack in packs)
            self._tokens += sum(pack.tokens for pack in packs)
            if done < tokens:
                measurement = self._measurement(done / tokens, scores, rate=rate, started=started)
                watch.measured(measurement)
                if watch.should_stop():
                    return None
        return scores

    def _seeded(
        self, rounds: Iterator[list[Pack]]
    ) -> Iterator[tuple[Sequence[Pack], Sequence[int]]]:
        """Rounds with a seed for each pack: a function of the run's seed, the step and its place."""
        count = 0
        for packs in rounds:
            places = range(count, count + len(packs))
            count += len(packs)
            yield packs, [_seed(self._config.seed, self.state.step, place) for place in places]

    def _apply(self, rate: float) -> None:
        """Move the weights, if the gradient is such that they may be moved."""
        epoch, step = self.state.epoch + 1, self.state.step + 1
        self.engine.collect()
        norm = float(
            torch.nn.utils.clip_grad_norm_(self._masters.values(), self._config.max_gradient_norm)
        )
        if not math.isfinite(norm):
            raise NonFiniteGradient(epoch, step, norm)
        if norm == 0 and self.state.step == 0:
            raise NothingTrained("the gradient of the first step is zero")
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.engine.weights.publish()
        self._gradient_norm = norm

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
                "token_budget": self.engine.budget,
            }
        )

    def _measurement(
        self, share: float, scores: Scores, *, rate: float, started: float
    ) -> Measurement:
        seconds = self._seconds + time.monotonic() - started
        return Measurement(
            steps=self.state.step + share,
            scores=scores,
            learning_rate=rate,
            gradient_norm=self._gradient_norm,
            tokens_per_second=self._tokens / max(seconds, 1e-9),
        )


def fingerprint(parameters: Mapping[str, Parameter]) -> str:
    """A checksum of fp32 weights, cheap enough to take of a whole model."""
    sums = [
        int(each.detach().reshape(-1).view(torch.int32).sum(dtype=torch.int64))
        for each in parameters.values()
    ]
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _seed(seed: int, step: int, place: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{step}:{place}".encode(), digest_size=7).digest()
    return int.from_bytes(digest)
