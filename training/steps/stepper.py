"""Optimizer steps: gradients gathered over micro-batches, guarded, and undone when told to stop."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from training.config import TrainingConfig
from training.data.rows import TokenRow
from training.devices.errors import PassAbandoned
from training.devices.parts import gathered, own_part
from training.devices.world import WORLD_OF_ONE, World
from training.engine.engine import Engine
from training.errors import NothingTrained, OutOfMemory
from training.libraries import memory_failures_named
from training.methods.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from training.scores import Scores
from training.steps.batches import Plan
from training.steps.checkpoints import Tensors
from training.steps.errors import NonFiniteGradient, NonFiniteLoss
from training.steps.schedule import learning_rate
from training.steps.state import TrainingState
from training.steps.turns import Turn, deal, turns
from training.steps.update import update_for

_PLACES: Final = 2**32
"""More packs than a step has."""


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
        self,
        engine: Engine,
        rows: Sequence[TokenRow],
        *,
        config: TrainingConfig,
        total_steps: int,
        world: World = WORLD_OF_ONE,
    ) -> None:
        self.engine = engine
        self._world = world
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
        self._update = update_for(
            engine, self._optimizer, max_norm=config.max_gradient_norm, world=world
        )
        self._gradient_norm: float | None = None
        self._tokens = 0
        self._seconds = 0.0
        untrained = fingerprint(self._masters, world)
        world.raise_unless_same("weights to begin with", [untrained.encode()])
        self.state = TrainingState(untrained=untrained, token_budget=engine.budget)

    def tensors(self) -> Tensors:
        """Everything `restore` needs, beside `state`, to go on as if never interrupted.

        What dropout drops is a function of the seed and the step, so that no random generator has
        a state to be kept. Whole, however many processes hold them; only the leader is given them.
        """
        keep = self._world.leads
        return Tensors(
            gathered(self._masters, keep=keep),
            gathered(optimizer_tensors(self._optimizer), keep=keep),
        )

    def own_tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        """What lies in this process of the masters and of the optimizer's memory."""
        optimizer = optimizer_tensors(self._optimizer)
        return (
            [own_part(each.detach()) for each in self._masters.values()],
            [own_part(each) for each in optimizer.values()],
        )

    def restore(self, state: TrainingState, tensors: Tensors) -> None:
        """Stand where a checkpoint was saved."""
        self.engine.weights.restore(tensors.weights)
        restore_optimizer(self._optimizer, tensors.optimizer)
        self.engine.budget = min(state.token_budget or self.engine.budget, self.engine.budget)
        self.state = state

    def is_over(self) -> bool:
        """Whether no epoch is left to begin or to go on with."""
        done = self.state.epoch >= self._config.epochs or self.state.step >= self.total_steps
        return (done and self.state.step_in_epoch == 0) or self.state.stopped_early

    def run_epoch(self, watch: Watch) -> bool:
        """The steps left of the epoch in progress; False where it was stopped before their end.

        A step that a stop interrupts is undone. Raises `NonFiniteLoss`, `NonFiniteGradient`,
        `NothingTrained`, `OutOfMemory` and `PassAbandoned`, the weights being those of the last
        good step.
        """
        for step in self._plan.steps(self.state.epoch)[self.state.step_in_epoch :]:
            if self.state.step >= self.total_steps:
                break
            if watch.should_stop() or not self._step([self._rows[i] for i in step], watch):
                return False
        return True

    def is_finite(self) -> bool:
        """Whether neither the weights nor the optimizer's memory hold a NaN or an infinity."""
        weights, memory = self.tensors()
        return not self._world.any_of(
            any(not torch.isfinite(each).all() for each in (*weights.values(), *memory.values()))
        )

    def raise_if_untrained(self) -> None:
        """Raise `NothingTrained` where no trainable weight differs from its first value."""
        if fingerprint(self._masters, self._world) == self.state.untrained:
            raise NothingTrained(f"no weight moved in {self.state.step} steps")

    def _step(self, rows: Sequence[TokenRow], watch: Watch) -> bool:
        started = time.monotonic()
        rate = learning_rate(self.state.step, config=self._config, steps=self.total_steps)
        scores = self._backward(rows, rate=rate, started=started, watch=watch)
        if scores is None:
            self.engine.discard()
            return False
        self._apply(rate, rows)
        self._advance(scores, time.monotonic() - started)
        watch.measured(self._measurement(0.0, scores, rate=rate, started=time.monotonic()))
        return True

    def _backward(
        self, rows: Sequence[TokenRow], *, rate: float, started: float, watch: Watch
    ) -> Scores | None:
        """The step's gradients, with as many tokens at once as memory takes; None if stopped."""
        while True:
            try:
                with memory_failures_named():
                    return self._gradients(rows, rate=rate, started=started, watch=watch)
            except OutOfMemory as error:
                self.engine.discard()
                own = deal(rows, self._world.size)[self._world.rank]
                if self._world.is_sharded and self.engine.halve_budget_for(own):
                    raise PassAbandoned(self.engine.budget, error) from error
                if self._world.is_sharded or not self.engine.halve_budget():
                    raise
                self.engine.renew_lanes()
                watch.halved(self.engine.budget, error)

    def _gradients(
        self, rows: Sequence[TokenRow], *, rate: float, started: float, watch: Watch
    ) -> Scores | None:
        tokens = sum(row.tokens for row in rows)
        share = 1 / sum(row.trained_tokens for row in rows)
        scores, done = Scores(), 0
        for turn, seeds in self._seeded(turns(self.engine, rows, self._world)):
            scores = scores.plus(self._turn(turn, share=share, seeds=seeds))
            if not math.isfinite(scores.loss_sum):
                lines = [row.line for pack in turn.packs for row in pack.rows]
                raise NonFiniteLoss(
                    self.state.epoch + 1, self.state.step + 1, scores.loss_sum, lines=lines
                )
            # Rows are dealt out evenly, so that what is done here is done everywhere.
            taken = self._world.size * sum(pack.tokens for pack in turn.packs) * turn.counts
            done = min(tokens, done + taken)
            self._tokens += taken
            if not turn.is_last:
                if scores.tokens:
                    share_done = done / tokens
                    watch.measured(
                        self._measurement(share_done, scores, rate=rate, started=started)
                    )
                if watch.should_stop():
                    return None
        return self._world.total(scores)

    def _turn(self, turn: Turn, *, share: float, seeds: Sequence[int]) -> Scores:
        """A turn's gradients and scores. Where memory runs out in one process it does in all, so
        that they go on with the same budget; but for a sharded model, whose passes cannot be left.
        """
        if not turn.counts:
            share = 0.0
        if self._world.size == 1 or self._world.is_sharded:
            scores = self.engine.backward(turn.packs, share=share, seeds=seeds)
            return scores if turn.counts else Scores()
        failure, scores = None, Scores()
        try:
            with memory_failures_named():
                scores = self.engine.backward(turn.packs, share=share, seeds=seeds)
        except OutOfMemory as error:
            failure = error
        if self._world.any_of(failure is not None):
            raise failure or OutOfMemory("another device had none left")
        return scores

    def _seeded(self, dealt: Iterator[Turn]) -> Iterator[tuple[Turn, Sequence[int]]]:
        """Turns with a seed for each pack: a function of the run's seed, the step and its place,
        which no other process has."""
        count = self._world.rank * _PLACES
        for turn in dealt:
            places = range(count, count + len(turn.packs))
            count += len(turn.packs)
            yield turn, [_seed(self._config.seed, self.state.step, place) for place in places]

    def _apply(self, rate: float, rows: Sequence[TokenRow]) -> None:
        """Move the weights, if the gradient is such that they may be moved."""
        epoch, step = self.state.epoch + 1, self.state.step + 1
        norm = self._update.gather()
        if not math.isfinite(norm):
            raise NonFiniteGradient(epoch, step, norm, lines=[row.line for row in rows])
        if norm == 0 and self.state.step == 0:
            raise NothingTrained("the gradient of the first step is zero")
        self._update.move(rate)
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


def fingerprint(parameters: Mapping[str, Parameter], world: World = WORLD_OF_ONE) -> str:
    """A checksum of fp32 weights, cheap enough to take of a whole model, and the same whether it
    lies in one process or is split among several."""
    sums = [
        int(own_part(each.detach()).reshape(-1).view(torch.int32).sum(dtype=torch.int64))
        for each in parameters.values()
    ]
    if world.is_sharded:
        sums = world.add_up_integers(sums)
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _seed(seed: int, step: int, place: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{step}:{place}".encode(), digest_size=7).digest()
    return int.from_bytes(digest)
