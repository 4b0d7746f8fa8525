"""Rows laid end to end: what one micro-batch holds, and how a step's rows are divided into them."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

import torch
from torch import Tensor

from training.data.rendering import IGNORED, Row


@dataclass(frozen=True)
class Pack:
    """Rows in one sequence of T tokens, without padding, longest row first.

    Position i of a row predicts its label i + 1; `positions` (N) are the places in the sequence
    whose prediction bears loss, and `targets` (N) what they should predict.
    """

    rows: tuple[Row, ...]
    input_ids: Tensor
    position_ids: Tensor
    positions: Tensor
    targets: Tensor

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each row."""
        return tuple(len(row.input_ids) for row in self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all rows, T."""
        return self.input_ids.numel()


def make_pack(rows: Sequence[Row], device: str | torch.device = "cpu") -> Pack:
    """The rows as tensors on a device."""
    ordered = tuple(sorted(rows, key=lambda row: len(row.input_ids), reverse=True))
    labels = [label for row in ordered for label in (*row.labels[1:], IGNORED)]
    targets = torch.tensor(labels)
    positions = (targets != IGNORED).nonzero().squeeze(1)
    return Pack(
        rows=ordered,
        input_ids=torch.tensor([token for row in ordered for token in row.input_ids]).to(device),
        position_ids=torch.cat([torch.arange(len(row.input_ids)) for row in ordered]).to(device),
        positions=positions.to(device),
        targets=targets[positions].to(device),
    )


def divide(lengths: Sequence[int], *, budget: int, lanes: int) -> list[list[int]]:
    """Indices of rows for each micro-batch: at most `budget` tokens in one, longer rows alone.

    As few micro-batches as fill `lanes` evenly, of nearly the same size, since those who work at
    the same time wait for one another. Each row goes, longest first, to the emptiest one (Graham's
    LPT rule, 1969); where that overflows the budget, one round of micro-batches is added.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    count = max(1, -(-sum(lengths) // budget))
    while True:
        count = min(len(lengths), -(-count // lanes) * lanes)
        packs: list[list[int]] = [[] for _ in range(count)]
        loads = [(0, place) for place in range(count)]
        for index in order:
            load, place = loads[0]
            packs[place].append(index)
            heapreplace(loads, (load + lengths[index], place))
        fits = all(load <= budget or len(packs[place]) == 1 for load, place in loads)
        if fits or count == len(lengths):
            return packs
        count += 1
