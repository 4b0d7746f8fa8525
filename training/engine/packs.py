"""Rows laid end to end: what one micro-batch holds, and how a step's rows are divided into them."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from training.data.rows import IGNORED, TokenRow

_WORTH_AN_EXCHANGE: Final = 0.01
"""The share of a difference that an exchange of rows must take away, so that they come to an end."""


@dataclass(frozen=True)
class Pack:
    """Rows in one sequence of T tokens, without padding, longest row first.

    Position i of a row predicts its label i + 1; `positions` (N) are the places in the sequence
    whose prediction bears loss, and `targets` (N) what they should predict.
    """

    rows: tuple[TokenRow, ...]
    input_ids: Tensor
    position_ids: Tensor
    positions: Tensor
    targets: Tensor
    borders: Tensor
    """(rows + 1), int32: where each row begins, and the last one ends."""
    longest: int
    """Tokens of the longest row."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each row."""
        return tuple(row.tokens for row in self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all rows, T."""
        return self.input_ids.numel()


def make_pack(rows: Sequence[TokenRow], device: str | torch.device = "cpu") -> Pack:
    """The rows as tensors on a device."""
    ordered = tuple(sorted(rows, key=lambda row: row.tokens, reverse=True))
    lengths = [row.tokens for row in ordered]
    labels = [label for row in ordered for label in (*row.labels[1:], IGNORED)]
    targets = torch.tensor(labels)
    positions = (targets != IGNORED).nonzero().squeeze(1)
    return Pack(
        rows=ordered,
        input_ids=torch.tensor([token for row in ordered for token in row.input_ids]).to(device),
        position_ids=torch.cat([torch.arange(length) for length in lengths]).to(device),
        positions=positions.to(device),
        targets=targets[positions].to(device),
        borders=torch.tensor([0, *accumulate(lengths)], dtype=torch.int32).to(device),
        longest=lengths[0],
    )


def divide(
    lengths: Sequence[int], costs: Sequence[float], *, budget: int, lanes: int
) -> list[list[int]]:
    """Indices of rows for each micro-batch: at most `budget` tokens in one, longer rows alone.

    As few micro-batches as fill `lanes` evenly, of nearly the same cost, since those who work at
    the same time wait for one another. Each row goes, dearest first, to the cheapest one (Graham's
    LPT rule, 1969), and rows are exchanged while that helps; where the budget is overflowed there
    is one round of micro-batches more.
    """
    order = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    count = max(1, -(-sum(lengths) // budget))
    while True:
        count = min(len(lengths), -(-count // lanes) * lanes)
        packs: list[list[int]] = [[] for _ in range(count)]
        loads = [(0.0, place) for place in range(count)]
        for index in order:
            load, place = loads[0]
            packs[place].append(index)
            heapreplace(loads, (load + costs[index], place))
        _even_out(packs, costs)
        fits = all(
            len(pack) == 1 or sum(lengths[index] for index in pack) <= budget for pack in packs
        )
        if fits or count == len(lengths):
            return packs
        count += 1


def _even_out(packs: Sequence[list[int]], costs: Sequence[float]) -> None:
    """Exchange a row of the dearest pack for one of the cheapest while their costs draw nearer."""
    loads = [sum(costs[index] for index in pack) for pack in packs]
    while True:
        high, low = loads.index(max(loads)), loads.index(min(loads))
        gap = loads[high] - loads[low]
        left, one, other = min(
            (abs(gap - 2 * (costs[one] - costs[other])), one, other)
            for one in packs[high]
            for other in packs[low]
        )
        if left >= (1 - _WORTH_AN_EXCHANGE) * gap:
            return
        for pack, gone, come in ((high, one, other), (low, other, one)):
            packs[pack][packs[pack].index(gone)] = come
            loads[pack] += costs[come] - costs[gone]
