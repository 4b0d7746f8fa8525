"""Splits are functions of the seed, and the same as ever; labels keep their shares."""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.splitting import Sides, apart, as_digests, drawn_by_label, split


def contents(values: Sequence[object]) -> list[bytes]:
    return [hashlib.sha256(str(value).encode()).digest() for value in values]


def divided(
    values: Sequence[object], wanted: int, seed: int = 1, labels: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
    sides = split(as_digests(contents(values), len(values)), wanted, seed, labels=labels)
    return sides.training.tolist(), sides.validation.tolist()


def as_in_the_first_release(values: Sequence[object], wanted: int, seed: int) -> list[int]:
    """What was held out before splits were made of arrays; runs of then must not change."""
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, content in enumerate(contents(values)):
        groups[content].append(index)
    shuffled = list(groups.values())
    random.Random(f"split:{seed}").shuffle(shuffled)
    held_out: set[int] = set()
    for group in shuffled:
        if len(held_out) + len(group) <= wanted:
            held_out.update(group)
    return sorted(held_out)


@given(
    values=st.lists(st.integers(0, 40), max_size=60),
    wanted=st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_held_out_is_what_was_held_out_in_the_first_release(
    values: list[int], wanted: int, seed: int
) -> None:
    training, validation = divided(values, wanted, seed)
    assert validation == as_in_the_first_release(values, wanted, seed)
    assert sorted(training + validation) == list(range(len(values)))


def test_a_split_is_seeded() -> None:
    # the very rows, lest the reference above and the code change alike
    assert divided(range(50), 10, 1)[1] == HELD_OUT
    assert divided(range(50), 10, 1) == divided(range(50), 10, 1) != divided(range(50), 10, 2)


HELD_OUT = [6, 12, 13, 14, 15, 18, 27, 28, 40, 49]


def test_duplicates_stay_on_one_side() -> None:
    values = [n % 10 for n in range(100)]
    training, validation = divided(values, 25, 3)
    assert len(validation) == 20
    assert {values[n] for n in validation}.isdisjoint(values[n] for n in training)


def test_records_that_are_all_the_same_are_all_trained_on() -> None:
    assert divided(["same"] * 10, 2) == (list(range(10)), [])


@pytest.mark.parametrize(
    ("sizes", "wanted", "shares"),
    [
        ([60, 30, 10], 10, [6, 3, 1]),
        ([50, 50], 25, [13, 12]),  # what is left over goes to the first of equals
        ([97, 2, 1], 10, [10, 0, 0]),
        ([4, 4, 2], 9, [3, 3, 1]),  # some of each are trained on
        ([5, 0, 1, 1], 4, [3, 0, 0, 0]),  # as of a sample, where a label may have few or none
    ],
)
def test_labels_are_held_out_in_their_shares(
    sizes: list[int], wanted: int, shares: list[int]
) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    random.Random(5).shuffle(labels)
    training, validation = divided(range(len(labels)), wanted, 7, labels)
    held_out = Counter(labels[index] for index in validation)
    assert [held_out[label] for label in range(len(sizes))] == shares
    assert sorted(training + validation) == list(range(len(labels)))


def test_duplicates_stay_on_one_side_within_their_label_too() -> None:
    values = ["a"] * 3 + ["b"] * 3 + list(range(6)) + ["c"] * 4 + ["d"] * 4
    labels = [0] * 12 + [1] * 8
    training, validation = divided(values, 10, 2, labels)
    assert {values[n] for n in validation}.isdisjoint(values[n] for n in training)
    held_out = Counter(labels[index] for index in validation)
    assert held_out == {0: 6, 1: 4}


def test_a_stratified_split_of_one_label_is_a_split_of_another_draw() -> None:
    one = [0] * 40
    assert len(divided(range(40), 8, 3, one)[1]) == 8
    assert divided(range(40), 8, 3, one) == divided(range(40), 8, 3, one)


def test_what_two_datasets_share_is_found_on_either_side() -> None:
    here, there = contents("abcab"), contents("xbby")
    kept, leaked = apart(as_digests(here, 5), as_digests(there, 4))
    assert (kept.tolist(), leaked.tolist()) == ([0, 2, 3], [1, 4])
    kept, leaked = apart(as_digests(there, 4), as_digests(here, 5))
    assert (kept.tolist(), leaked.tolist()) == ([0, 3], [1, 2])


def test_whole_digests_divide_as_their_heads_do() -> None:
    found = contents([n % 30 for n in range(50)])
    whole = np.frombuffer(b"".join(found), dtype="V32")
    ours, theirs = split(as_digests(found, 50), 10, 1), split(whole, 10, 1)
    assert ours.validation.tolist() == theirs.validation.tolist()
    assert [each.tolist() for each in apart(whole[:20], whole[10:])] == [
        each.tolist() for each in apart(as_digests(found[:20], 20), as_digests(found[10:], 40))
    ]


def test_a_digest_that_ends_in_zeros_is_another_than_one_that_is_shorter() -> None:
    found = as_digests([b"a" * 15 + b"\0", b"a" * 16, b"a" * 14 + b"\0a"], 3)
    assert isinstance(split(found, 1, 1), Sides)
    assert len(set(found.tolist())) == 3


def test_a_sample_bears_labels_in_their_shares_the_first_of_each_or_any_by_seed() -> None:
    labels = [0, 1, 0, 2, 0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0]  # 11, 3 and 2 of 16
    head = drawn_by_label(labels, 8, shuffle=False, seed=1)
    assert head.tolist() == [0, 1, 2, 3, 4, 5, 7, 8]
    assert Counter(labels[place] for place in head) == {0: 6, 1: 1, 2: 1}
    drawn, again, other = (
        drawn_by_label(labels, 8, shuffle=True, seed=seed).tolist() for seed in (1, 1, 2)
    )
    assert drawn == again == sorted(set(drawn)) != other
    for found in (drawn, other):
        assert Counter(labels[place] for place in found) == {0: 6, 1: 1, 2: 1}
