"""How rows are dealt out among processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from training.data.rendering import Row
from training.devices.world import WORLD_OF_ONE
from training.engine.packs import Pack, make_pack
from training.steps.turns import Turn, deal, turns


def row(length: int) -> Row:
    return Row(length, [1] * length, [1] * length, b"")


def lengths(rows: Sequence[Row]) -> list[int]:
    return [len(each.input_ids) for each in rows]


class OneByOne(NamedTuple):
    """An engine that computes a row at a time."""

    device: torch.device = torch.device("cpu")

    def round_count(self, rows: Sequence[Row]) -> int:
        return len(rows)

    def rounds(self, rows: Sequence[Row]) -> Iterator[list[Pack]]:
        yield from ([make_pack([each])] for each in rows)


@dataclass
class Told:
    """A world whose other processes have been heard already."""

    rank: int
    size: int
    is_sharded: bool
    longest: int

    def most(self, number: int) -> int:
        assert number <= self.longest
        return self.longest


def hands(rows: Sequence[Row], size: int, *, is_sharded: bool) -> list[list[Turn]]:
    longest = max(map(len, deal(rows, size)))
    return [
        list(turns(OneByOne(), rows, Told(rank, size, is_sharded, longest))) for rank in range(size)
    ]


def shown(hand: Sequence[Turn]) -> list[tuple[list[int], bool]]:
    return [([pack.tokens for pack in turn.packs], turn.counts) for turn in hand]


def test_rows_are_dealt_by_their_tokens_and_keep_their_order() -> None:
    shares = deal([row(3), row(10), row(4), row(2), row(1)], 2)
    assert [lengths(share) for share in shares] == [[10], [3, 4, 2, 1]]


def test_alone_a_process_has_every_row_in_its_order() -> None:
    rows = [row(length) for length in (3, 9, 1)]
    found = list(turns(OneByOne(), rows, WORLD_OF_ONE))
    assert [pack.rows for turn in found for pack in turn.packs] == [(each,) for each in rows]
    assert [turn.is_last for turn in found] == [False, False, True]


@pytest.mark.parametrize("is_sharded", [False, True])
def test_every_row_counts_in_one_process_and_all_take_as_many_turns(is_sharded: bool) -> None:
    found = hands([row(length) for length in (20, 1, 2, 3, 4, 5)], 3, is_sharded=is_sharded)
    assert [[turn.is_last for turn in hand] for hand in found] == [[False, False, True]] * 3
    counted = [pack.tokens for hand in found for turn in hand if turn.counts for pack in turn.packs]
    assert sorted(counted) == [1, 2, 3, 4, 5, 20]


def test_who_has_no_rows_left_is_idle_or_repeats_the_shortest_to_no_effect() -> None:
    rows = [row(9), row(2), row(3)]
    assert shown(hands(rows, 2, is_sharded=False)[0]) == [([9], True), ([], False)]
    assert shown(hands(rows, 2, is_sharded=True)[0]) == [([9], True), ([2], False)]


def test_with_fewer_rows_than_processes_the_others_repeat_one() -> None:
    assert [shown(hand) for hand in hands([row(5)], 2, is_sharded=True)] == [
        [([5], True)],
        [([5], False)],
    ]
