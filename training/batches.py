"""Which rows are trained on, in what order, and as what tensors: all a function of the seed."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import torch
from torch import Tensor

from training.rendering import IGNORED, Row
from training.schedule import validation_rows

TOKENS_PER_BATCH: Final = 4096
"""Padded tokens a forward pass takes at most, single longer rows excepted."""
TOKENS_WORTH_A_PASS: Final = 256
"""Below this many tokens a pass of its own costs more than the padding it would save."""
TOLERATED_PADDING: Final = 0.2

T = TypeVar("T")


class Batch(NamedTuple):
    """Rows of similar length, padded right. Shapes are (rows, tokens)."""

    input_ids: Tensor
    labels: Tensor
    tokens: int
    """Real ones, padding not counted."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that bear loss."""
        return int((self.labels != IGNORED).sum())


class Split(NamedTuple):
    """The rows trained on and those held out."""

    training: list[Row]
    validation: list[Row]


def split(rows: Sequence[Row], ratio: float, seed: int) -> Split:
    """Hold out about `ratio` of the rows; exact duplicates stay together on one side.

    Fewer rows are held out than asked for where groups of duplicates are too large.
    """
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row.content].append(index)
    shuffled = list(groups.values())
    random.Random(f"split:{seed}").shuffle(shuffled)  # noqa: S311 - a seeded order, no secret
    wanted = validation_rows(len(rows), ratio)
    held_out: set[int] = set()
    for group in shuffled:
        if len(held_out) + len(group) <= wanted:
            held_out.update(group)
    return Split(
        training=[row for index, row in enumerate(rows) if index not in held_out],
        validation=[rows[index] for index in sorted(held_out)],
    )


def sample(items: Sequence[T], count: int | None, *, shuffle: bool, seed: int) -> list[T]:
    """At most `count` items in their order: the first ones, or with `shuffle` any."""
    if count is None or count >= len(items):
        return list(items)
    if not shuffle:
        return list(items[:count])
    drawn = random.Random(f"sample:{seed}").sample(range(len(items)), count)  # noqa: S311 - as above
    return [items[index] for index in sorted(drawn)]


class Plan(NamedTuple):
    """The order of a run's rows. An optimizer step is a list of micro-batches of row indices."""

    rows: int
    batch_size: int
    accumulation: int
    shuffle: bool
    seed: int

    def steps(self, epoch: int) -> list[list[list[int]]]:
        """The steps of an epoch, counted from 0; the same whenever it is asked."""
        order = list(range(self.rows))
        if self.shuffle:
            random.Random(f"order:{self.seed}:{epoch}").shuffle(order)  # noqa: S311 - as above
        micro_batches = list(_chunks(order, self.batch_size))
        return list(_chunks(micro_batches, self.accumulation))


def batches(rows: Sequence[Row], *, padding_id: int) -> Iterator[Batch]:
    """The rows as padded batches, split by length where that saves more than it costs.

    The loss of a step is a sum over tokens, so that how rows are batched does not change it.
    """
    for together in packs(rows):
        yield collate(together, padding_id)


def packs(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows that go through the model together, by what they cost to pad."""
    grouped: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: len(row.input_ids), reverse=True):
        if grouped and _fits(grouped[-1], row):
            grouped[-1].append(row)
        else:
            grouped.append([row])
    return grouped


def _fits(together: Sequence[Row], row: Row) -> bool:
    """Whether a row, no longer than those together, shall join them."""
    longest = len(together[0].input_ids)
    if longest * (len(together) + 1) > TOKENS_PER_BATCH:
        return False
    wasteful = len(row.input_ids) < longest * (1 - TOLERATED_PADDING)
    return not (wasteful and longest * len(together) >= TOKENS_WORTH_A_PASS)


def collate(rows: Sequence[Row], padding_id: int) -> Batch:
    """The rows as one batch."""
    longest = max(len(row.input_ids) for row in rows)
    shape = (len(rows), longest)
    input_ids = torch.full(shape, padding_id, dtype=torch.int64)
    labels = torch.full(shape, IGNORED, dtype=torch.int64)
    for index, row in enumerate(rows):
        input_ids[index, : len(row.input_ids)] = torch.tensor(row.input_ids)
        labels[index, : len(row.labels)] = torch.tensor(row.labels)
    return Batch(input_ids, labels, tokens=sum(len(row.input_ids) for row in rows))


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
