"""Which rows are trained on, and in what order: all a function of the seed."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from training.data.rendering import Row

T = TypeVar("T")


class Split(NamedTuple):
    """The rows trained on and those held out."""

    training: list[Row]
    validation: list[Row]


def sample(items: Sequence[T], count: int | None, *, shuffle: bool, seed: int) -> list[T]:
    """At most `count` items in their order: the first ones, or with `shuffle` any."""
    if count is None or count >= len(items):
        return list(items)
    if not shuffle:
        return list(items[:count])
    drawn = random.Random(f"sample:{seed}").sample(range(len(items)), count)  # noqa: S311 - as above
    return [items[index] for index in sorted(drawn)]


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
