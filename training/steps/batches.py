"""Which rows are trained on, and in what order: all a function of the seed."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from training.data.token_file import Integers

T = TypeVar("T")


def sample(total: int, count: int | None, *, shuffle: bool, seed: int) -> Integers | None:
    """The places of at most `count` of so many records, in order: the first ones, or with `shuffle`
    any; None for all of them."""
    if count is None or count >= total:
        return None
    if not shuffle:
        return np.arange(count)
    drawn = random.Random(f"sample:{seed}").sample(range(total), count)  # noqa: S311 - as above
    return np.sort(np.array(drawn, dtype=np.int64))


class Plan(NamedTuple):
    """The order of a run's rows. An optimizer step is a list of row indices."""

    rows: int
    rows_per_step: int
    shuffle: bool
    seed: int

    def steps(self, epoch: int) -> list[list[int]]:
        """The steps of an epoch, counted from 0; the same whenever it is asked."""
        order = list(range(self.rows))
        if self.shuffle:
            random.Random(f"order:{self.seed}:{epoch}").shuffle(order)  # noqa: S311 - as above
        return list(_chunks(order, self.rows_per_step))


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
