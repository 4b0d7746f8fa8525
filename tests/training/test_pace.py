"""The time of an attempt, told from its first steps."""

import pytest

from training.progress.pace import SCORING_COST, WRITING_BYTES_PER_SECOND, Remaining, Stopwatch


class Watched:
    """A stopwatch over a clock that the test sets, and what it told."""

    def __init__(self, remaining: Remaining, *, first_step: int = 0, age: float = 5.0) -> None:
        self.age = age
        self.told: list[float] = []
        self.stopwatch = Stopwatch(
            remaining, first_step=first_step, age=lambda: self.age, tell=self.told.append
        )

    def measured(self, age: float, steps: float) -> None:
        self.age = age
        self.stopwatch.measured(steps)


def remaining(
    *step_tokens: int, scored: int = 0, written: int = 0, answering: float = 0.0
) -> Remaining:
    return Remaining(step_tokens, scored, written, answering)


def test_the_pace_is_that_of_the_steps_after_the_first() -> None:
    watched = Watched(remaining(*[100] * 100))
    watched.measured(9.0, 1)  # four seconds, for it had to get warm
    assert watched.told == []
    watched.measured(10.0, 2)
    assert watched.told == []
    watched.measured(11.0, 3)
    assert watched.told == [pytest.approx(11.0 + 97 * 1.0)]
    watched.measured(12.0, 4)
    assert len(watched.told) == 1


def test_long_rows_take_their_time_and_part_of_a_step_counts() -> None:
    watched = Watched(remaining(100, 100, 300, 500))
    watched.measured(6.0, 0.5)
    watched.measured(8.0, 1.5)  # 100 tokens in 2 s; 50 + 300 + 500 are left
    assert watched.told == [pytest.approx(8.0 + 850 * 0.02)]


def test_validation_checkpoints_and_answers_are_counted() -> None:
    written = int(3 * WRITING_BYTES_PER_SECOND)
    watched = Watched(remaining(*[100] * 10, scored=1000, written=written, answering=4.0))
    watched.measured(6.0, 1)
    watched.measured(8.0, 2)
    seconds_per_token = 0.02
    expected = (800 + SCORING_COST * 1000) * seconds_per_token + 3 + 4
    assert watched.told == [pytest.approx(8.0 + expected)]


def test_a_resumed_run_is_estimated_from_where_it_goes_on() -> None:
    watched = Watched(remaining(*[100] * 20), first_step=80)
    watched.measured(6.0, 81)
    watched.measured(8.0, 83)
    assert watched.told == [pytest.approx(8.0 + 17 * 1.0)]


@pytest.mark.parametrize(
    ("steps", "told"), [(1, []), (2, [6.0 + 1.0]), (3, [6.0 + 2.0]), (5, [6.0 + 4.0])]
)
def test_a_short_run_is_estimated_before_it_is_half_over_or_not_at_all(
    steps: int, told: list[float]
) -> None:
    watched = Watched(remaining(*[100] * steps))
    for step in range(1, steps + 1):
        watched.measured(5.0 + step, step)
    assert watched.told == pytest.approx(told)
