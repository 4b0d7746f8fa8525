"""How well near duplicates are found, against sets compared one by one."""

import random
import re
import string

import numpy as np
import pytest

from training.data.doctor.duplicates import first_equal
from training.data.doctor.near import NEAR, near_groups, nearest, similarity
from training.data.doctor.signatures import SIGNATURE_BYTES, signatures

WORDS = [
    "".join(random.Random(seed).choices(string.ascii_lowercase, k=2 + seed % 9))
    for seed in range(900)
]


def in_common(left: str, right: str) -> float:
    """The share of runs of five letters in common, by the definition."""
    ours, theirs = (
        {words[start : start + 5] for start in range(max(1, len(words) - 4))}
        for words in (" ".join(re.findall(r"\w+", text.lower())) for text in (left, right))
    )
    return len(ours & theirs) / len(ours | theirs)


def labelled() -> tuple[list[str], list[str]]:
    """Texts of 8 to 80 words, and as many with none to a half of their words replaced."""
    draw = random.Random(7)
    texts, variants = [], []
    for number in range(1500):
        words = draw.choices(WORDS, k=8 + number % 73)
        changed = list(words)
        for place in draw.sample(
            range(len(words)), k=int(len(words) * draw.choice((0, 0.05, 0.1, 0.2, 0.5)))
        ):
            changed[place] = draw.choice(WORDS)
        texts.append(" ".join(words))
        variants.append(", ".join(changed).upper())
    return texts, variants


def test_what_is_near_is_found_and_little_else() -> None:
    texts, variants = labelled()
    truth = np.array([in_common(*pair) for pair in zip(texts, variants, strict=True)])
    (left, _), (right, _) = signatures(texts), signatures(variants)
    found, partners, _ = nearest(right, left)
    assert np.array_equal(found, partners)  # no text was taken for another's
    was_found = np.isin(np.arange(len(texts)), found)
    assert was_found[truth >= 0.95].all()
    assert not was_found[truth < 0.6].any()
    near = truth >= NEAR
    # the labels lie thick about the threshold, where an estimate may fall on either side
    recall = (was_found & near).sum() / near.sum()
    precision = (was_found & near).sum() / was_found.sum()
    assert (round(float(recall), 3), round(float(precision), 3)) == (0.955, 0.892)


def test_estimates_are_those_of_the_sets_compared() -> None:
    texts, variants = labelled()
    truth = np.array([in_common(*pair) for pair in zip(texts, variants, strict=True)])
    (left, _), (right, _) = signatures(texts), signatures(variants)
    at = np.arange(len(texts))
    error = similarity(left, at, right, at) - truth
    assert abs(float(error.mean())) < 0.01
    assert float(error.std()) < 0.05  # of 64 orders, at most 0.0625


def test_groups_hold_all_that_are_near_by_others_between_them() -> None:
    words = random.Random(1).sample(WORDS, 120)
    steps = [" ".join(words[step : step + 80]) for step in range(0, 40, 5)]
    assert in_common(steps[0], steps[1]) >= 0.85
    assert in_common(steps[0], steps[-1]) < 0.5
    signed, _ = signatures([*steps, " ".join(random.Random(2).sample(WORDS, 60))])
    first = near_groups(signed, np.arange(9, dtype=np.int32))
    assert first.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 8]


def test_records_are_equal_where_all_keys_are() -> None:
    left, right = np.array([5, 5, 5, 7, 5], np.uint64), np.array([1, 2, 1, 1, 2], np.uint64)
    assert first_equal(left, right).tolist() == [0, 1, 0, 3, 1]


def test_only_candidates_are_compared() -> None:
    signed, _ = signatures(["the same text as ever"] * 4)
    assert near_groups(signed, np.array([1, 3], np.int32)).tolist() == [0, 1, 2, 1]


def test_a_signature_does_not_depend_on_its_neighbours_or_on_pieces() -> None:
    draw = random.Random(3)
    texts = [
        "",
        "a",
        "ab",
        "?",
        "x" * 70_000,
        " ".join(draw.choices(WORDS, k=40_000)),
        "ß ẞ İ 你好",
    ]
    together, worded = signatures(texts)
    assert worded.tolist() == [False, True, True, False, True, True, True]
    assert together.shape == (7, SIGNATURE_BYTES)
    for text, signature in zip(texts, together, strict=True):
        assert np.array_equal(signatures([text])[0][0], signature)


@pytest.mark.parametrize("text", ["one two", "One, two.", "  «one…two»!", "ONE\n\ntwo?!\n"])
def test_only_letters_and_digits_count(text: str) -> None:
    assert np.array_equal(signatures([text])[0], signatures(["one two"])[0])
    assert not np.array_equal(signatures([text])[0], signatures(["onetwo"])[0])


def test_many_equal_signatures_make_one_group_at_once() -> None:
    signed, _ = signatures(["a text that is there again and again"])
    first = near_groups(np.repeat(signed, 20_000, axis=0), np.arange(20_000, dtype=np.int32))
    assert not first.any()
