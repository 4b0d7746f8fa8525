"""How long a run still takes, on a clock of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.jobs import run_here
from training.steps.checkpoints import CheckpointStore
from training.steps.state import TrainingState
from training.steps.time_left import TimeLeft

STEPS, EPOCH = 100, 10
"""Of the run: ten epochs of ten steps; each step takes 2 s and each epoch's end 5 s."""


def state(step: int) -> TrainingState:
    """Where such a run stands after so many steps."""
    epoch, within = divmod(step, EPOCH)
    return TrainingState(
        epoch=epoch,
        step_in_epoch=within,
        step=step,
        seconds=epoch * 25.0,
        epoch_seconds=within * 2.0,
        closing_seconds=epoch * 5.0,
    )


def taken_up_at(step: int = 0, validation_share: float = 0.3) -> TimeLeft:
    return TimeLeft(
        start=state(step),
        started=1000.0,
        total_steps=STEPS,
        epoch_steps=EPOCH,
        validation_share=validation_share,
    )


def true_seconds_left(step: int) -> float:
    """What it takes: the steps, the ends of the epochs not closed, and one validation more."""
    return (STEPS - step) * 2.0 + (STEPS // EPOCH - step // EPOCH + 1) * 5.0


@pytest.mark.parametrize("step", [11, 25, 50, 89, 91, 99])
def test_a_run_that_was_never_interrupted_knows_its_end(step: int) -> None:
    assert taken_up_at().seconds(step, state(step), 0.0) == pytest.approx(true_seconds_left(step))


@pytest.mark.parametrize("step", [89, 90, 95])
def test_the_first_estimate_after_a_resume_is_right_already(step: int) -> None:
    resumed = taken_up_at(step)
    first = resumed.seconds(step + 0.25, state(step), 1000.0 + 30.0)
    assert first == pytest.approx(true_seconds_left(step) - 0.5)


def test_the_end_of_an_epoch_right_after_a_resume_is_not_taken_for_a_slow_step() -> None:
    resumed = taken_up_at(89)
    assert resumed.seconds(91, state(91), 0.0) == pytest.approx(true_seconds_left(91))


def test_a_slow_first_step_after_a_resume_weighs_little() -> None:
    slow = state(91).model_copy(update={"epoch_seconds": 10.0})  # instead of 2
    left = taken_up_at(90).seconds(91, slow, 0.0)
    assert true_seconds_left(91) < left < 2.1 * true_seconds_left(91)


def test_a_resume_on_a_machine_half_as_fast_is_noticed() -> None:
    start, here = state(40), state(49)
    slow = here.model_copy(update={"epoch_seconds": here.epoch_seconds + 9 * 2.0})
    left = taken_up_at(start.step).seconds(49, slow, 0.0)
    steps = left - (true_seconds_left(49) - 51 * 2.0)
    assert steps / 51 == pytest.approx((3 * 2.0 + 9 * 4.0) / 12)


def test_before_the_first_epoch_ends_its_validation_is_estimated_from_its_rows() -> None:
    left = taken_up_at().seconds(5, state(5), 0.0)
    # an end predicts 0.3 of an epoch's rows, at a third of a step's time: 10 * 0.3 / 3 * 2 s
    assert left == pytest.approx(95 * 2.0 + 11 * 2.0)


@pytest.mark.parametrize(
    ("steps", "full"), [(1, 1.0), (2, 2.0), (2.5, 2.125), (3, 2.25), (4, 3.25)]
)
def test_an_epochs_last_step_counts_by_its_rows(steps: float, full: float) -> None:
    """Four epochs of nine rows, four a step; a step of four rows takes 2 s."""
    left = TimeLeft(
        start=TrainingState(), started=0.0, total_steps=12, epoch_steps=9 / 4, validation_share=0.0
    )
    epoch, within = divmod(int(steps), 3)
    seconds = 2.0 * min(within, 2)
    at = TrainingState(
        epoch=epoch,
        step=int(steps),
        step_in_epoch=within,
        seconds=4.5 * epoch,
        epoch_seconds=seconds,
    )
    assert left.seconds(steps, at, 0.0) == pytest.approx(2.0 * (9.0 - full))


def test_amid_the_very_first_step_the_clock_is_all_there_is() -> None:
    left = taken_up_at(validation_share=0.0).seconds(0.5, state(0), 1001.0)
    assert left == pytest.approx(99.5 * 2.0)


def test_a_run_remembers_what_the_ends_of_its_epochs_took(make_job: Callable[..., Path]) -> None:
    job = make_job(epochs=3)
    run_here(job)
    first, second, third = (each.state for each in CheckpointStore(job / "checkpoints").all())
    assert 0 < first.closing_seconds < second.closing_seconds < third.closing_seconds
    assert all(each.closing_seconds < each.seconds for each in (first, second, third))
    assert all(each.epoch_seconds == 0 for each in (first, second, third))
