"""How the rows of an optimizer step are dealt out among the processes that train together."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from training.rendering import Row


class Turn(NamedTuple):
    """One forward and backward pass of one process. All processes take equally many."""

    rows: Sequence[Row]
    """None where this process has nothing left to do while others have."""
    counts: bool = True
    """False for a pass made only because the others' passes need this process; it must weigh
    nothing."""


def deal(rows: Sequence[Row], hands: int) -> list[list[Row]]:
    """The rows in `hands` shares of about as many tokens each, the longest dealt first.

    The same for the same rows, and within a share in their order.
    """
    shares: list[list[int]] = [[] for _ in range(hands)]
    tokens = [0] * hands
    longest_first = sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids), reverse=True)
    for index in longest_first:
        least = tokens.index(min(tokens))
        shares[least].append(index)
        tokens[least] += len(rows[index].input_ids)
    return [[rows[index] for index in sorted(share)] for share in shares]


def turns(
    rows: Sequence[Row],
    pack: Callable[[Sequence[Row]], Sequence[Sequence[Row]]],
    *,
    rank: int,
    size: int,
    in_step: bool,
) -> list[Turn]:
    """The passes of the process `rank` of `size` over its share of the rows.

    `pack` groups rows that go through the model together. Every process groups everybody's rows,
    and so knows how many passes the others make without asking. Where passes have to be made `in_step`,
    a process with fewer packs repeats the smallest there is, to no effect.
    """
    packs = [pack(share) for share in deal(rows, size)]
    own = [Turn(each) for each in packs[rank]]
    missing = max(map(len, packs)) - len(own)
    if missing and in_step:
        smallest = min((each for share in packs for each in share), key=_tokens)
        return own + [Turn(smallest, counts=False)] * missing
    return own + [Turn(())] * missing


def _tokens(rows: Sequence[Row]) -> int:
    return sum(len(row.input_ids) for row in rows)
