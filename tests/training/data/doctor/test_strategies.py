"""Which records are kept, once it is chosen what is done with them."""

import numpy as np
import pytest

from training.data.doctor.application import apply
from training.data.doctor.checks import BITS, Code, Strategy
from training.data.doctor.errors import StrategyNotOffered
from training.data.doctor.marks import Marks, patterns
from training.data.doctor.report import MAX_LINES
from training.data.doctor.strategies import Dropped, Outcome, foretell


def marks(*codes: tuple[Code, ...]) -> Marks:
    """Records on the odd lines from 1, each with these codes."""
    bits = [sum(BITS[code] for code in each) for each in codes]
    return Marks(np.arange(1, 2 * len(codes), 2, np.uint32), np.array(bits, np.uint64))


FOUND = marks(
    (),
    (Code.DUPLICATE,),
    (Code.DUPLICATE, Code.TOO_LONG),
    (Code.TOO_LONG, Code.NEAR_LEAK),
    (Code.NOT_NFC,),
)


def test_without_strategies_all_are_kept() -> None:
    applied = apply(FOUND, {})
    assert applied.kept.tolist() == [1, 3, 5, 7, 9]
    assert applied.truncated.tolist() == []
    assert applied.outcome.refused == {}
    assert applied.outcome.dropped == Dropped(count=0, reasons={}, lines=())


def test_what_is_dropped_is_counted_once_for_its_first_reason() -> None:
    applied = apply(FOUND, {Code.TOO_LONG: Strategy.DROP, Code.DUPLICATE: Strategy.DROP})
    assert applied.kept.tolist() == [1, 9]
    assert applied.outcome.dropped == Dropped(
        count=3, reasons={Code.DUPLICATE: 2, Code.TOO_LONG: 1}, lines=(3, 5, 7)
    )


def test_an_outcome_is_foretold_from_the_patterns_alone() -> None:
    chosen = {
        Code.DUPLICATE: Strategy.DROP,
        Code.TOO_LONG: Strategy.TRUNCATE,
        Code.NOT_NFC: Strategy.ERROR,
    }
    assert foretell(patterns(FOUND), chosen) == Outcome(
        refused={Code.NOT_NFC: 1},
        kept=3,
        truncated=1,
        dropped=Dropped(count=2, reasons={Code.DUPLICATE: 2}, lines=(3, 5)),
    )
    assert apply(FOUND, chosen).outcome == foretell(patterns(FOUND), chosen)


def test_what_is_dropped_is_not_cut() -> None:
    applied = apply(FOUND, {Code.TOO_LONG: Strategy.TRUNCATE, Code.DUPLICATE: Strategy.DROP})
    assert applied.kept.tolist() == [1, 7, 9]
    assert applied.truncated.tolist() == [7]
    assert applied.outcome.dropped.reasons == {Code.DUPLICATE: 2}


def test_what_is_an_error_is_counted_and_nothing_that_is_not_there() -> None:
    chosen = {
        Code.NOT_NFC: Strategy.ERROR,
        Code.TOO_LONG: Strategy.ERROR,
        Code.LEAK: Strategy.ERROR,
    }
    assert apply(FOUND, chosen).outcome.refused == {Code.TOO_LONG: 2, Code.NOT_NFC: 1}


def test_a_strategy_that_does_not_fit_is_refused_with_those_that_do() -> None:
    with pytest.raises(StrategyNotOffered) as refused:
        apply(FOUND, {Code.DUPLICATE: Strategy.TRUNCATE})
    assert refused.value.code == "STRATEGY_NOT_OFFERED"
    assert refused.value.message == "Records found with DUPLICATE cannot be dealt with by TRUNCATE."
    assert refused.value.remedy == "Choose one of ERROR, DROP, or none to keep them."


def test_every_line_is_counted_and_the_first_are_named() -> None:
    many = marks(*[(Code.DUPLICATE,)] * (MAX_LINES + 5))
    dropped = apply(many, {Code.DUPLICATE: Strategy.DROP}).outcome.dropped
    assert (dropped.count, len(dropped.lines)) == (MAX_LINES + 5, MAX_LINES)


def test_marks_about_parts_of_the_same_records_are_put_together() -> None:
    rows = Marks(np.array([3, 4], np.uint32), np.array([1, 2], np.uint64))
    both = Marks(np.array([1, 3], np.uint32), np.array([8, 16], np.uint64)).with_those(rows)
    assert both.lines.tolist() == [1, 3, 4]
    assert both.bits.tolist() == [8, 17, 2]
