"""How the rows of a step are dealt out among the processes that train together."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from training.data.rows import TokenRow
from training.devices.world import World
from training.engine.engine import Engine
from training.engine.packs import Pack, make_pack


class Turn(NamedTuple):
    """What one process computes at a time; all processes take equally many turns."""

    packs: Sequence[Pack]
    """None where this process has nothing left to do while others have."""
    counts: bool = True
    """False for a pass made only because the others' passes need this process; it must weigh
    nothing."""
    is_last: bool = False


def deal(rows: Sequence[TokenRow], hands: int) -> list[list[TokenRow]]:
    """The rows in `hands` shares of about as many tokens each, the longest dealt first.

    The same for the same rows, and within a share in their order.
    """
    return [[rows[index] for index in share] for share in dealt([r.tokens for r in rows], hands)]


def dealt(lengths: Sequence[int], hands: int) -> list[list[int]]:
    """The places of the rows of each share, told from the rows' tokens."""
    shares: list[list[int]] = [[] for _ in range(hands)]
    tokens = [0] * hands
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        least = tokens.index(min(tokens))
        shares[least].append(index)
        tokens[least] += lengths[index]
    return [sorted(share) for share in shares]


def turns(engine: Engine, rows: Sequence[TokenRow], world: World) -> Iterator[Turn]:
    """This process's turns with its share of the rows, which all processes are given alike.

    Where the passes of a sharded model have to be made together, a process that has none left
    makes them with the shortest row, to no effect.
    """
    own = deal(rows, world.size)[world.rank] if world.size > 1 else rows
    count = world.most(engine.round_count(own))
    number = 0
    for number, packs in enumerate(engine.rounds(own), start=1):
        yield Turn(packs, is_last=number == count)
    for missing in range(number + 1, count + 1):
        packs = [make_pack([_shortest(rows)], engine.device)] if world.is_sharded else []
        yield Turn(packs, counts=False, is_last=missing == count)


def _shortest(rows: Sequence[TokenRow]) -> TokenRow:
    return min(rows, key=lambda row: row.tokens)
