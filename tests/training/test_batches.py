"""Splits, samples and orders are functions of the seed."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from training.steps.batches import Plan, sample, split


def contents(numbers: Iterable[int]) -> NDArray[np.void]:
    """The digests of records that are as different as these numbers."""
    digests = [hashlib.sha256(str(number).encode()).digest() for number in numbers]
    return np.frombuffer(b"".join(digests), dtype=np.dtype((np.void, 32)))


def test_a_split_is_seeded_and_loses_no_row() -> None:
    rows = contents(range(50))
    first, again, other = split(rows, 0.2, 1), split(rows, 0.2, 1), split(rows, 0.2, 2)
    assert (len(first.training), len(first.validation)) == (40, 10)
    assert [side.tolist() for side in first] == [side.tolist() for side in again]
    assert first.validation.tolist() != other.validation.tolist()
    assert sorted([*first.training, *first.validation]) == list(range(50))


def test_a_split_is_the_one_that_checkpoints_were_saved_with() -> None:
    duplicated = contents([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9])
    assert split(contents(range(20)), 0.2, 42).validation.tolist() == [4, 9, 10, 15]
    assert split(duplicated, 0.3, 42).validation.tolist() == [0, 1, 3, 9]


def test_duplicates_stay_on_one_side() -> None:
    numbers = np.arange(100) % 10
    parts = split(contents(numbers), 0.25, 3)
    assert len(parts.validation) == 20
    assert set(numbers[parts.validation]).isdisjoint(numbers[parts.training])


def test_rows_that_are_all_the_same_are_all_trained_on() -> None:
    parts = split(contents([7] * 10), 0.2, 1)
    assert (len(parts.training), len(parts.validation)) == (10, 0)


def test_a_sample_is_the_head_or_any_by_seed() -> None:
    assert sample(100, None, shuffle=True, seed=1) is None
    assert sample(100, 100, shuffle=True, seed=1) is None
    head = sample(100, 3, shuffle=False, seed=1)
    assert head is not None
    assert head.tolist() == [0, 1, 2]
    drawn, again, other = (sample(100, 10, shuffle=True, seed=seed) for seed in (1, 1, 2))
    assert drawn is not None
    assert drawn.tolist() == [6, 15, 18, 22, 28, 33, 48, 63, 69, 99]
    assert np.array_equal(drawn, again)
    assert not np.array_equal(drawn, other)


def test_a_plan_sees_each_row_once_an_epoch_in_another_order() -> None:
    plan = Plan(rows=21, rows_per_step=8, shuffle=True, seed=7)
    first = plan.steps(0)
    assert [len(step) for step in first] == [8, 8, 5]
    assert sorted(i for step in first for i in step) == list(range(21))
    assert first == plan.steps(0) != plan.steps(1)
    in_order = plan._replace(shuffle=False).steps(3)
    assert [i for step in in_order for i in step] == list(range(21))
