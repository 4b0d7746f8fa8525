"""The demo may only end well if what it shows came true."""

from datetime import UTC, datetime

import pytest

from api.client.events import JobFinished
from api.client.results import EpochMetrics, Failure, Sample
from api.demo.assets import PROMPTS
from api.demo.steps import DemoError
from api.demo.story import answers_changed, judge_training
from jobs.status import JobStatus


def ended(status: JobStatus, error: Failure | None = None) -> JobFinished:
    return JobFinished(
        seq=9, at=datetime.now(UTC), attempt=1, status=status, error=error, model_version=None
    )


def epochs(*losses: float) -> list[EpochMetrics]:
    return [
        EpochMetrics(
            epoch=number,
            training_loss=loss,
            training_accuracy=0.5,
            validation_loss=None,
            validation_accuracy=None,
            duration_seconds=1.0,
        )
        for number, loss in enumerate(losses, 1)
    ]


def test_a_completed_run_with_a_falling_loss_passes() -> None:
    judge_training(ended(JobStatus.COMPLETED), epochs(3.0, 2.0))


@pytest.mark.parametrize("losses", [(3.0, 3.0), (2.0, 3.0), (2.0,), (), (float("nan"), 1.0)])
def test_a_loss_that_does_not_fall_fails(losses: tuple[float, ...]) -> None:
    with pytest.raises(DemoError, match="The loss did not fall"):
        judge_training(ended(JobStatus.COMPLETED), epochs(*losses))


def test_a_failed_run_fails_with_its_own_reason_and_remedy() -> None:
    error = Failure(code="DISK_FULL", message="The disk is full.", remedy="Make room.")
    with pytest.raises(DemoError, match="The disk is full") as caught:
        judge_training(ended(JobStatus.FAILED, error), epochs(3.0, 2.0))
    assert caught.value.remedy == "Make room."


def test_every_answer_must_have_changed() -> None:
    changed = [Sample(prompt=prompt, before="long", after="short") for prompt in PROMPTS]
    assert answers_changed(changed)
    assert not answers_changed([*changed[:-1], changed[-1].model_copy(update={"after": "long"})])
    assert not answers_changed([*changed[:-1], changed[-1].model_copy(update={"after": None})])
    assert not answers_changed(changed[:-1])
