"""Attempts at a job that the kernel ends for lack of memory."""

import itertools

import pytest

from jobs.models import TrainingJob
from jobs.service import Service
from jobs.status import JobStatus
from tests.factories import MEMORY, make_job
from tests.jobs.stage import (
    WHOLE_RUN,
    Step,
    attempt,
    history,
    make_viewer,
    phase,
    progress,
    say,
    script_job,
    starts,
)
from tests.training.jobs import token_note
from training.devices.token_budget import Note
from training.events import MemoryEstimated

pytestmark = [pytest.mark.usefixtures("scripted"), pytest.mark.redis]

START = say(phase("PREPARING"), MemoryEstimated(memory=MEMORY), phase("TRAINING"), progress(1))


def killed(tokens: int, *, is_least: bool = False) -> list[Step]:
    return [["hold", tokens, is_least], START, ["die"]]


@pytest.fixture
def kernel_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look finds one more process that the kernel has ended for lack of memory."""
    count = itertools.count(5)
    monkeypatch.setattr("jobs.execution.supervisor.kernel_kills", lambda: next(count))


@pytest.fixture
def kernel_is_mute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.execution.supervisor.kernel_kills", lambda: None)


async def end_of(job: TrainingJob) -> tuple[JobStatus, int, int]:
    found = await TrainingJob.get(id=job.id)
    return found.status, found.attempt, found.crashes


@pytest.mark.usefixtures("kernel_tells")
async def test_after_a_kill_for_lack_of_memory_half_as_many_tokens_are_held_at_once(
    quick: Service,
) -> None:
    job = await make_job(await make_viewer(), quick)
    folder = script_job(quick, job.id, killed(256), WHOLE_RUN)
    await attempt(quick, job.id)
    assert await end_of(job) == (JobStatus.QUEUED, 1, 0)
    reason = "The process before was ended by the kernel for lack of memory."
    note = Note(tokens=256, is_least=False, limit=128, reason=reason)
    assert token_note(folder) == note
    warning = (await history(job.id))[-1].data
    assert warning["code"] == "CHILD_CRASHED"
    assert warning["message"].startswith(
        "The training process was ended by the kernel for lack of memory. Of its memory the estimate"
    )
    assert warning["remedy"].startswith(
        "It is tried again from its newest checkpoint, with half as many tokens held at once. Most"
    )
    await attempt(quick, job.id)
    assert await end_of(job) == (JobStatus.COMPLETED, 2, 0)


@pytest.mark.usefixtures("kernel_tells")
async def test_a_job_that_lacks_memory_for_the_fewest_tokens_fails_with_what_is_known(
    quick: Service,
) -> None:
    job = await make_job(await make_viewer(), quick)
    steps = [512, 256, 128]
    least = killed(64, is_least=True)
    folder = script_job(quick, job.id, *map(killed, steps), least)
    for tokens in steps:  # as many as the crashes after which a job fails, and they are none
        await attempt(quick, job.id)
        note = token_note(folder)
        assert note is not None
        assert (note.tokens, note.limit) == (tokens, tokens // 2)
    assert await end_of(job) == (JobStatus.QUEUED, 3, 0)
    await attempt(quick, job.id)
    await attempt(quick, job.id)
    assert await end_of(job) == (JobStatus.FAILED, 4, 0)
    assert len(starts(folder)) == 4
    error = (await TrainingJob.get(id=job.id)).error
    assert error is not None
    assert error["code"] == "OUT_OF_MEMORY"
    assert error["message"] == (
        "The training process was ended by the kernel for lack of memory, though it held as few "
        f"tokens at once as it can. Of its memory {MEMORY.described()}."
    )
    assert error["remedy"] == MEMORY.remedy()


@pytest.mark.usefixtures("kernel_is_mute")
async def test_where_the_kernel_does_not_say_who_was_ended_a_guess_is_called_one(
    quick: Service,
) -> None:
    job = await make_job(await make_viewer(), quick)
    folder = script_job(quick, job.id, killed(128), killed(64, is_least=True))
    await attempt(quick, job.id)
    note = token_note(folder)
    assert note is not None
    assert (note.limit, note.reason) == (
        64,
        "The process before died with signal 9, probably for lack of memory.",
    )
    await attempt(quick, job.id)
    error = (await TrainingJob.get(id=job.id)).error
    assert error is not None
    assert error["message"].startswith(
        "The training process died with signal 9, probably for lack of memory, though it held"
    )


@pytest.mark.usefixtures("kernel_tells")
async def test_a_child_that_dies_before_it_has_held_less_is_a_crash(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    folder = script_job(quick, job.id, killed(256), [say(phase("PREPARING")), ["die"]])
    await attempt(quick, job.id)
    bid = token_note(folder)
    await attempt(quick, job.id)
    assert await end_of(job) == (JobStatus.QUEUED, 2, 1)
    assert token_note(folder) == bid


@pytest.mark.usefixtures("kernel_tells")
async def test_one_killed_device_of_several_lacked_memory_too(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    script = [["hold", 256, False], START, ["exit", 137]]
    folder = script_job(quick, job.id, script)
    await attempt(quick, job.id)
    assert await end_of(job) == (JobStatus.QUEUED, 1, 0)
    note = token_note(folder)
    assert note is not None
    assert note.limit == 128


@pytest.mark.parametrize("end", [["die"], ["exit", 7]])
async def test_other_deaths_change_nothing_of_what_is_held(quick: Service, end: Step) -> None:
    job = await make_job(await make_viewer(), quick)
    folder = script_job(quick, job.id, [["hold", 256, False], say(phase("PREPARING")), end])
    await attempt(quick, job.id)
    assert await end_of(job) == (JobStatus.QUEUED, 1, 1)
    assert token_note(folder) == Note(tokens=256, is_least=False)
