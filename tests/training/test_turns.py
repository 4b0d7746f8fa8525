"""How rows are dealt out among processes."""

from collections.abc import Sequence

import pytest

from training.rendering import Row
from training.turns import deal, turns


def row(length: int) -> Row:
    return Row(length, [1] * length, [1] * length, b"")


def lengths(rows: Sequence[Row]) -> list[int]:
    return [len(each.input_ids) for each in rows]


def one_by_one(rows: Sequence[Row]) -> list[list[Row]]:
    return [[each] for each in rows]


def all_together(rows: Sequence[Row]) -> list[list[Row]]:
    return [list(rows)] if rows else []


def test_rows_are_dealt_by_their_tokens_and_keep_their_order() -> None:
    shares = deal([row(3), row(10), row(4), row(2), row(1)], 2)
    assert [lengths(share) for share in shares] == [[10], [3, 4, 2, 1]]


def test_alone_a_process_has_every_row_in_its_order() -> None:
    rows = [row(length) for length in (3, 9, 1)]
    assert deal(rows, 1) == [rows]
    assert [turn.rows for turn in turns(rows, one_by_one, rank=0, size=1, in_step=False)] == [
        [each] for each in rows
    ]


@pytest.mark.parametrize("in_step", [False, True])
def test_every_row_counts_in_one_process_and_all_take_as_many_turns(in_step: bool) -> None:
    rows = [row(length) for length in (20, 1, 2, 3, 4, 5)]
    hands = [turns(rows, one_by_one, rank=rank, size=3, in_step=in_step) for rank in range(3)]
    assert [len(hand) for hand in hands] == [3, 3, 3]
    counted = [each for hand in hands for turn in hand if turn.counts for each in turn.rows]
    assert sorted(lengths(counted)) == [1, 2, 3, 4, 5, 20]


def test_who_has_no_pack_left_is_idle_or_repeats_the_smallest_to_no_effect() -> None:
    rows = [row(9), row(2), row(3)]
    idle = turns(rows, one_by_one, rank=0, size=2, in_step=False)
    assert [(lengths(turn.rows), turn.counts) for turn in idle] == [([9], True), ([], True)]
    in_step = turns(rows, one_by_one, rank=0, size=2, in_step=True)
    assert [(lengths(turn.rows), turn.counts) for turn in in_step] == [([9], True), ([2], False)]


def test_with_fewer_rows_than_processes_the_others_repeat_one() -> None:
    hands = [turns([row(5)], all_together, rank=rank, size=2, in_step=True) for rank in range(2)]
    assert [[(lengths(turn.rows), turn.counts) for turn in hand] for hand in hands] == [
        [([5], True)],
        [([5], False)],
    ]
