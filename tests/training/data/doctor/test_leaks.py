"""Validation records that are training records too."""

import numpy as np

from training.config import DataType
from training.data.doctor.checks import Code
from training.data.doctor.examination import Examination, examine
from training.data.doctor.leaks import find_leaks
from training.data.doctor.marks import findings
from training.data.doctor.report import MAX_PAIRS, LeakPair, Leaks
from training.data.records import Record

RIVER = {"question": "Which river flows through Paris?", "answer": "The Seine, of course."}
RIVER_AGAIN = {"question": "which river flows through paris", "answer": "The Seine - of course!"}
SPIDER = {"question": "How many legs has a spider?", "answer": "Eight, as all its kind."}
SKY = {"question": "What colour is the sky?", "answer": "Blue, where it is not grey."}


def examined(*records: Record) -> Examination:
    return examine(DataType.QA, enumerate(records, 1))


def test_pairs_name_both_lines_equal_ones_first() -> None:
    training, validation = (
        examined(SPIDER, RIVER, SKY),
        examined(RIVER_AGAIN, {**SKY, "answer": "No idea."}, SKY),
    )
    found = find_leaks(training.fingerprints, validation.fingerprints)
    assert (found.leaks.equal, found.leaks.near) == (1, 1)
    assert found.leaks.pairs == (
        LeakPair(validation_line=3, training_line=3, similarity=1.0),
        LeakPair(validation_line=1, training_line=2, similarity=1.0),
    )
    assert [(each.code, each.lines) for each in findings(found.marks)] == [
        (Code.LEAK, (3,)),
        (Code.NEAR_LEAK, (1,)),
    ]


def test_two_sides_of_one_dataset_are_told_apart_by_their_indices() -> None:
    whole = examined(SPIDER, RIVER, SPIDER, SKY).fingerprints
    left, right = whole.take(np.array([0, 1])), whole.take(np.array([2, 3]))
    assert find_leaks(left, right).leaks == Leaks(
        equal=1, near=0, pairs=(LeakPair(validation_line=3, training_line=1, similarity=1.0),)
    )
    grouped = find_leaks(whole.take(np.array([0, 2])), whole.take(np.array([1, 3])))
    assert grouped.leaks == Leaks(equal=0, near=0, pairs=())


def test_every_leak_is_counted_and_the_first_pairs_are_named() -> None:
    many = examined(*[SKY] * (MAX_PAIRS + 20)).fingerprints
    leaks = find_leaks(examined(SKY).fingerprints, many).leaks
    assert (leaks.equal, len(leaks.pairs)) == (MAX_PAIRS + 20, MAX_PAIRS)


def test_near_pairs_are_named_alone_where_there_may_be_any_number_of_equal_ones() -> None:
    ours = examined(*[SKY] * MAX_PAIRS, RIVER_AGAIN).fingerprints
    others = examined(SPIDER, RIVER, SKY).fingerprints
    assert len(find_leaks(others, ours).leaks.pairs) == MAX_PAIRS
    found = find_leaks(others, ours, near_pairs_alone=True).leaks
    pair = LeakPair(validation_line=MAX_PAIRS + 1, training_line=2, similarity=1.0)
    assert found == Leaks(equal=MAX_PAIRS, near=1, pairs=(pair,))


def test_with_a_side_that_is_empty_nothing_leaks() -> None:
    some, none = examined(SKY).fingerprints, examined().fingerprints
    assert find_leaks(some, none).leaks == find_leaks(none, some).leaks
    assert find_leaks(none, some).leaks == Leaks(equal=0, near=0, pairs=())


def test_a_report_takes_leaks_in_at_their_place() -> None:
    examination = examined(SKY, SKY)
    found = find_leaks(examination.fingerprints, examined(SKY).fingerprints)
    report = examination.with_marks(found.marks, leaks=found.leaks).report
    assert [each.code for each in report.findings] == [Code.DUPLICATE, Code.LEAK]
    assert [each.codes for each in report.patterns] == [(Code.DUPLICATE,), (Code.LEAK,)]
    assert report.leaks == found.leaks
    assert examination.report.leaks is None
