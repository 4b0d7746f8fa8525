"""Which rows are trained on, and in what order: all a function of the seed."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.data.token_file import Integers
from training.steps.schedule import validation_rows

T = TypeVar("T")


class Split(NamedTuple):
    """The places of the rows trained on and of those held out, both in order."""

    training: Integers
    validation: Integers


def split(contents: NDArray[np.void], ratio: float, seed: int) -> Split:
    """Hold out about `ratio` of the rows; exact duplicates stay together on one side.

    `contents` has the digest of each row's record. Fewer rows are held out than asked for where
    groups of duplicates are too large.
    """
    groups, count = _groups(contents)
    sizes = np.bincount(groups, minlength=count).tolist()
    shuffled = list(range(count))
    random.Random(f"split:{seed}").shuffle(shuffled)  # noqa: S311 - a seeded order, no secret
    wanted = validation_rows(len(contents), ratio)
    is_held_out = np.zeros(count, dtype=bool)
    held_out = 0
    for group in shuffled:
        if held_out + sizes[group] <= wanted:
            held_out += sizes[group]
            is_held_out[group] = True
    return Split(
        training=np.flatnonzero(~is_held_out[groups]),
        validation=np.flatnonzero(is_held_out[groups]),
    )


def _groups(contents: NDArray[np.void]) -> tuple[Integers, int]:
    """The number of each row's group of duplicates, in the order of their first rows, and how many
    groups there are."""
    _, firsts, groups = np.unique(contents, return_index=True, return_inverse=True)
    ranks = np.empty(len(firsts), dtype=np.int64)
    ranks[np.argsort(firsts)] = np.arange(len(firsts))
    return ranks[groups], len(firsts)


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
