"""How long TRL's packs must be for its steps to see as many tokens as everyone else's."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 1024
"""TRL's own default, which a pack of ours does not exceed."""


@dataclass(frozen=True)
class Packs:
    """The length of a pack in tokens, and how many make a step."""

    length: int
    per_step: int


def packs(lengths: Sequence[int], *, rows_per_step: int) -> Packs:
    """The shortest packs that hold all rows in as many steps as batches of `rows_per_step`.

    Best-fit decreasing, as TRL packs.
    """
    steps = math.ceil(len(lengths) / rows_per_step)
    per_step = max(1, math.ceil(sum(lengths) / steps / LONGEST))
    length = max(*lengths, math.ceil(sum(lengths) / steps / per_step))
    while _packed(lengths, length) > steps * per_step:
        length += 1
    return Packs(length, per_step)


def _packed(lengths: Sequence[int], length: int) -> int:
    """How many packs of `length` tokens best-fit decreasing makes."""
    room: list[int] = []  # what is left in each pack, ascending
    for row in sorted(lengths, reverse=True):
        place = bisect.bisect_left(room, row)
        left = room.pop(place) if place < len(room) else length
        bisect.insort(room, left - row)
    return len(room)
