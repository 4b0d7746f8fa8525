"""The engine of a run: rows in, gradients and scores out, whatever the model and the machine."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import torch

from training.data.rows import TokenRow
from training.engine.choice import Choice, Passes
from training.engine.gradients import Gradients
from training.engine.graphs import fitted, graphs_for, shape_of_rows
from training.engine.lanes import Lanes
from training.engine.packs import Pack, divide, make_pack
from training.engine.trainable import TrainableWeights
from training.events import ComputePath
from training.scores import Scores

_LEAST_TOKENS: Final = 64


class Engine:
    """Computes what the optimizer needs of a step's rows, a round of micro-batches at a time.

    `budget` bounds the tokens that the micro-batches of a round hold together; a single longer row
    is computed by itself.
    """

    def __init__(
        self,
        choice: Choice,
        weights: TrainableWeights,
        lanes: Lanes,
        *,
        budget: int,
        device: torch.device,
        label_cost: float = 0.0,
    ) -> None:
        """`label_cost` is the work for a token that bears loss in the head, that for a token in the
        layers being one."""
        self.choice = choice
        self.weights = weights
        self.budget = budget
        self._label_cost = label_cost
        self._lanes = lanes if choice.path is ComputePath.FUSED else Lanes(1)
        self.device = device
        self._gradients = [Gradients() for _ in range(self._lanes.count)]
        self._graphs = graphs_for(choice.computes, device)

    @property
    def lanes(self) -> int:
        """Micro-batches computed at the same time."""
        return self._lanes.count

    @property
    def gradients(self) -> Sequence[Gradients]:
        """What each lane has summed up of the step in progress."""
        return self._gradients

    def round_count(self, rows: Sequence[TokenRow]) -> int:
        """How many rounds the rows make."""
        return len(self.divided(rows))

    def rounds(self, rows: Sequence[TokenRow]) -> Iterator[list[Pack]]:
        """The rows as micro-batches, those of a round to be computed at the same time."""
        for packs in self.divided(rows):
            yield [self.packed(each) for each in packs]

    def divided(self, rows: Sequence[TokenRow]) -> list[list[list[TokenRow]]]:
        """The rows of each micro-batch of each round."""
        if not rows:
            return []
        lengths = [row.tokens for row in rows]
        costs = [row.tokens + self._label_cost * row.trained_tokens for row in rows]
        packs = divide(lengths, costs, budget=self.budget // self.lanes, lanes=self.lanes)
        taken = [[rows[index] for index in pack] for pack in packs]
        return [taken[start : start + self.lanes] for start in range(0, len(taken), self.lanes)]

    def packed(self, rows: Sequence[TokenRow]) -> Pack:
        """A micro-batch on the device."""
        return make_pack(rows, self.device)

    def laid_out(self, rows: Sequence[TokenRow]) -> Pack:
        """A micro-batch on the device as its backward pass takes it: padded where that may be recorded."""
        pack = self.packed(rows)
        return fitted(pack) if self._replays(pack.tokens) else pack

    def sizes(self, rows: Sequence[TokenRow]) -> tuple[int, int]:
        """Tokens of a micro-batch so laid out, and those of them that the head is applied to."""
        tokens = sum(row.tokens for row in rows)
        if not self._replays(tokens):
            return tokens, sum(row.trained_tokens for row in rows)
        shape = shape_of_rows(rows)
        return shape.tokens, shape.labels

    def recorded_bytes(self, packs: Iterable[Sequence[TokenRow]]) -> int:
        """What will be held, once these micro-batches were computed, to replay the like of them."""
        return 0 if self._graphs is None else self._graphs.kept_bytes(packs)

    def backward(self, packs: Sequence[Pack], *, share: float, seeds: Sequence[int]) -> Scores:
        """Add the gradient of `share` times the summed loss of a round, and give its scores.

        Each pack has a seed, which decides what dropout drops in it.
        """

        def work(place: int, item: tuple[Pack, int]) -> Scores:
            pack, seed = item
            sums = self._passes(pack).backward(
                pack, share=share, seed=seed, gradients=self._gradients[place]
            )
            return Scores(sums.loss, sums.correct, len(pack.targets))

        return _total(self._lanes.run(work, zip(packs, seeds, strict=True)))

    def score(self, packs: Sequence[Pack]) -> Scores:
        """The loss and accuracy of a round, without dropout."""

        def work(_place: int, pack: Pack) -> Scores:
            sums = self.choice.computes.score(pack)
            return Scores(sums.loss, sums.correct, len(pack.targets))

        return _total(self._lanes.run(work, packs))

    def _passes(self, pack: Pack) -> Passes:
        """What makes a pack's backward pass."""
        if self._graphs is not None and self._graphs.serve(pack.tokens):
            return self._graphs
        return self.choice.computes

    def _replays(self, tokens: int) -> bool:
        return self._graphs is not None and self._graphs.serve(tokens)

    def collect(self) -> None:
        """Hand the step's gradients to the masters."""
        self.weights.collect(self._gradients)

    def discard(self) -> None:
        """Forget the step's gradients."""
        for each in self._gradients:
            each.clear()

    def halve_budget(self) -> bool:
        """Hold half as many tokens at once from now on; False where that is not to be had."""
        if self.budget // 2 < _LEAST_TOKENS * self.lanes:
            return False
        self.budget //= 2
        if self._graphs is not None:
            self._graphs.forget()
        return True

    def halve_budget_for(self, rows: Sequence[TokenRow]) -> bool:
        """Halve it until these rows are divided otherwise; False where they never are."""
        before = self.divided(rows)
        while self.halve_budget():
            if self.divided(rows) != before:
                return True
        return False

    def renew_lanes(self) -> None:
        """Compute on a CPU in other threads from now on, as must be where memory ran out."""
        if self.device.type == "cpu":
            self._lanes.renew()

    def close(self) -> None:
        """Let go of the lanes."""
        self._lanes.close()


def _total(parts: Sequence[Scores]) -> Scores:
    total = Scores()
    for part in parts:
        total = total.plus(part)
    return total
