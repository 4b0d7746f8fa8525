"""Pausing, resuming and saving on demand, and the races of each with a job's own course."""

import asyncio
import itertools

import pytest
from tortoise.transactions import in_transaction

from jobs.access import Viewer
from jobs.data import deletion
from jobs.errors import Conflict, InUse, NotFound
from jobs.execution import supervisor
from jobs.execution.claims import beat, claim, complete, pass_on_save, release
from jobs.execution.sweep import sweep
from jobs.fleet.devices import DevicePool
from jobs.models import AuditEntry, Checkpoint, ModelVersion, TrainingJob
from jobs.runs import control
from jobs.runs.history import Lease, move
from jobs.service import Service
from jobs.status import JobStatus
from jobs.worker import _waiting_jobs
from tests.factories import make_job
from tests.jobs.stage import (
    CANCELLED,
    COMPLETED,
    FAILED,
    RESULT,
    WHOLE_RUN,
    attempt,
    checkpoint,
    eventually,
    has_status,
    history,
    kinds,
    make_viewer,
    phase,
    progress,
    say,
    script_job,
    starts,
)
from tests.processes import is_alive

pytestmark = [pytest.mark.usefixtures("scripted"), pytest.mark.redis]

S = JobStatus

STARTED = say(phase("PREPARING"), phase("TRAINING"), progress(1))
SAVES = ["on_term", [say(checkpoint(1), CANCELLED), ["exit", 0]]]
LONG = [STARTED, SAVES, ["hang"]]


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def running(service: Service, viewer: Viewer, *scripts: list[list[object]]) -> TrainingJob:
    """A job that TRAINING has begun of."""
    job = await make_job(viewer, service)
    script_job(service, job.id, *scripts)
    return job


async def test_a_running_job_saves_and_rests_until_it_is_resumed(
    service: Service, viewer: Viewer
) -> None:
    job = await running(service, viewer, LONG, WHOLE_RUN)
    attempted = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, S.TRAINING))
    asked = await control.pause(viewer, job.id, queue=service.queue)
    assert asked.status is S.PAUSING
    assert (await control.pause(viewer, job.id, queue=service.queue)).last_seq == asked.last_seq
    with pytest.raises(Conflict, match="still PAUSING"):
        await control.resume(viewer, job.id, queue=service.queue)
    await attempted
    paused = await TrainingJob.get(id=job.id)
    assert (paused.status, paused.worker_id, paused.lease_expires_at) == (S.PAUSED, None, None)
    assert (paused.crashes, paused.finished_at, paused.estimated_time_remaining) == (0, None, None)
    assert (await kinds(job.id))[-3:] == ["PAUSING", "CheckpointSaved", "PAUSED"]
    assert await Checkpoint.filter(job_id=job.id).values_list("name", flat=True) == ["epoch-1"]
    resumed = await control.resume(viewer, job.id, queue=service.queue)
    assert resumed.status is S.QUEUED
    again = await control.resume(viewer, job.id, queue=service.queue)
    assert again.last_seq == resumed.last_seq
    await attempt(service, job.id, "next")
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.attempt) == (S.COMPLETED, 2)
    assert await AuditEntry.filter(subject_id=job.id).order_by("created_at").values_list(
        "action", flat=True
    ) == ["submitJob", "pauseJob", "resumeJob"]


async def test_a_waiting_job_is_paused_at_once_and_left_alone(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    paused = await control.pause(viewer, job.id, queue=service.queue)
    assert paused.status is S.PAUSED
    assert await claim(job.id, "worker", 30) is None
    assert await _waiting_jobs(DevicePool(("",), 10), 10) == []
    await sweep(service.settings, service.queue)
    assert (await TrainingJob.get(id=job.id)).status is S.PAUSED
    with pytest.raises(InUse):
        await deletion.delete(viewer, job.dataset_id, artifacts=service.artifacts)  # type: ignore[arg-type]  # it has one
    await control.resume(viewer, job.id, queue=service.queue)
    assert await _waiting_jobs(DevicePool(("",), 10), 10) == [job.id]
    assert await kinds(job.id) == ["QUEUED", "PAUSED", "QUEUED"]


async def test_a_resumed_job_queues_behind_those_that_waited(
    service: Service, viewer: Viewer
) -> None:
    first, second = [await make_job(viewer, service) for _ in range(2)]
    await control.pause(viewer, first.id, queue=service.queue)
    await control.resume(viewer, first.id, queue=service.queue)
    assert await _waiting_jobs(DevicePool(("",), 10), 10) == [second.id, first.id]


async def test_a_paused_job_is_cancelled_at_once(service: Service, viewer: Viewer) -> None:
    job = await make_job(viewer, service)
    await control.pause(viewer, job.id, queue=service.queue)
    cancelled = await control.cancel(viewer, job.id, queue=service.queue)
    assert cancelled.status is S.CANCELLED
    assert cancelled.finished_at is not None
    assert (await kinds(job.id))[-3:] == ["PAUSED", "CANCELLED", "JobFinished"]
    for deed in (control.pause, control.resume, control.cancel):
        with pytest.raises(Conflict, match="CANCELLED"):
            await deed(viewer, job.id, queue=service.queue)


async def test_a_pausing_job_can_still_be_cancelled(service: Service, viewer: Viewer) -> None:
    slow = ["on_term", [["sleep", 0.5], say(checkpoint(1), CANCELLED), ["exit", 0]]]
    job = await running(service, viewer, [STARTED, slow, ["hang"]])
    attempted = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, S.TRAINING))
    await control.pause(viewer, job.id, queue=service.queue)
    asked = await control.cancel(viewer, job.id, queue=service.queue)
    assert asked.status is S.CANCELLING
    with pytest.raises(Conflict, match="CANCELLING"):
        await control.pause(viewer, job.id, queue=service.queue)
    await attempted
    assert (await kinds(job.id))[-5:] == [
        *("PAUSING", "CANCELLING", "CheckpointSaved", "CANCELLED", "JobFinished"),
    ]


@pytest.mark.parametrize(("word", "end"), [(COMPLETED, S.COMPLETED), (FAILED, S.FAILED)])
async def test_a_pausing_job_whose_child_was_faster_ends(
    service: Service, viewer: Viewer, word: object, end: JobStatus
) -> None:
    fast = ["on_term", [say(word), ["exit", 0]]]  # type: ignore[arg-type]  # an event
    job = await running(service, viewer, [STARTED, fast, ["hang"]])
    attempted = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, S.TRAINING))
    await control.pause(viewer, job.id, queue=service.queue)
    await attempted
    assert (await kinds(job.id))[-3:] == ["PAUSING", end, "JobFinished"]
    made = await ModelVersion.get(job_id=job.id)
    assert made.status == ("READY" if end is S.COMPLETED else "FAILED")


async def test_a_child_that_does_not_save_in_time_is_ended_and_the_job_still_paused(
    quick: Service,
) -> None:
    viewer = await make_viewer()
    job = await running(quick, viewer, [["ignore_term"], STARTED, ["hang"]], WHOLE_RUN)
    attempted = asyncio.create_task(attempt(quick, job.id))
    await eventually(lambda: has_status(job.id, S.TRAINING))
    await control.pause(viewer, job.id, queue=quick.queue)
    await attempted
    paused = await TrainingJob.get(id=job.id)
    assert (paused.status, paused.crashes) == (S.PAUSED, 1)
    assert (await history(job.id))[-1].data["code"] == "PAUSED_UNSAVED"
    assert not is_alive(starts(quick.artifacts.job(job.id))[0])


async def test_a_worker_that_leaves_while_its_job_pauses_leaves_it_paused(
    service: Service, viewer: Viewer
) -> None:
    job = await running(service, viewer, LONG)
    attempted = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, S.TRAINING))
    await control.pause(viewer, job.id, queue=service.queue)
    attempted.cancel()
    await asyncio.gather(attempted, return_exceptions=True)
    assert (await TrainingJob.get(id=job.id)).status is S.PAUSED


async def test_a_pause_between_a_crash_and_its_record_is_honoured(
    quick: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await make_viewer()
    job = await running(quick, viewer, [STARTED, ["die"]])

    async def paused_just_before(*args: object, **options: object) -> int:
        if await has_status(job.id, S.TRAINING):
            await control.pause(viewer, job.id, queue=quick.queue)
        return await release(*args, **options)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(supervisor, "release", paused_just_before)
    await attempt(quick, job.id)
    assert (await kinds(job.id))[-3:] == ["PAUSING", "PAUSED", "WarningRaised"]


async def test_a_pause_that_loses_every_race_says_so(
    service: Service, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make_job(viewer, service)

    async def lost(*_: object, **__: object) -> TrainingJob:
        raise Conflict("somebody was faster")

    monkeypatch.setattr(control, "move", lost)
    with pytest.raises(Conflict, match="changing hands"):
        await control.pause(viewer, job.id, queue=service.queue)
    assert await AuditEntry.filter(subject_id=job.id, action="pauseJob").count() == 0


async def test_pauses_and_resumes_at_once_leave_one_consistent_history(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    deeds = [control.pause, control.resume] * 6
    results = await asyncio.gather(
        *(deed(viewer, job.id, queue=service.queue) for deed in deeds), return_exceptions=True
    )
    assert all(isinstance(each, TrainingJob | Conflict) for each in results)
    moves = await kinds(job.id)
    assert set(moves) == {"QUEUED", "PAUSED"}
    assert all(before != after for before, after in itertools.pairwise(moves))
    assert (await TrainingJob.get(id=job.id)).status == moves[-1]


async def test_what_others_own_cannot_be_steered(service: Service, viewer: Viewer) -> None:
    job = await make_job(viewer, service)
    stranger = await make_viewer()
    for deed in (control.pause, control.resume):
        with pytest.raises(NotFound):
            await deed(stranger, job.id, queue=service.queue)
    with pytest.raises(NotFound):
        await control.save_checkpoint(stranger, job.id)
    assert await kinds(job.id) == ["QUEUED"]


async def test_a_completed_job_is_not_paused(service: Service, viewer: Viewer) -> None:
    job = await make_job(viewer, service)
    await claim(job.id, "worker", 30)
    validating = await move(job.id, S.VALIDATING)
    await complete(validating, Lease("worker", 1), RESULT, "jobs/x/model")
    with pytest.raises(Conflict, match="COMPLETED"):
        await control.pause(viewer, job.id, queue=service.queue)


async def test_a_checkpoint_asked_for_is_saved_and_the_run_goes_on(
    service: Service, viewer: Viewer
) -> None:
    asked_for = checkpoint(7, best=False, score=None)
    script = [STARTED, ["await_request"], say(asked_for), ["await_request"], *WHOLE_RUN]
    job = await running(service, viewer, script)
    attempted = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, S.TRAINING))
    asked = await control.save_checkpoint(viewer, job.id)
    assert (asked.status, asked.saves_asked) == (S.TRAINING, 1)

    async def is_saved() -> bool:
        return await Checkpoint.filter(job_id=job.id, name="epoch-7").exists()

    await eventually(is_saved)
    saved = await Checkpoint.get(job_id=job.id, name="epoch-7")
    assert (saved.requested, saved.score, saved.best) == (True, None, False)
    await control.save_checkpoint(viewer, job.id)
    await attempted
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.attempt, done.saves_passed_on) == (S.COMPLETED, 1, 2)


async def test_a_checkpoint_asked_for_while_preparing_reaches_the_next_attempt_too(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    held = await claim(job.id, "killed", 30)
    assert held is not None
    await control.save_checkpoint(viewer, job.id)
    lease = Lease("killed", 1)
    assert (await beat(job.id, lease, 30)).save_asked == 1
    await release(job.id, lease, reason="its worker was killed", crashed=True)
    script_job(service, job.id, [say(phase("PREPARING")), ["await_request"], *WHOLE_RUN])
    await attempt(service, job.id, "next")
    assert (await TrainingJob.get(id=job.id)).status is S.COMPLETED


async def test_a_request_made_while_the_former_is_passed_on_is_not_lost(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    await claim(job.id, "worker", 30)
    lease = Lease("worker", 1)
    await control.save_checkpoint(viewer, job.id)
    first = (await beat(job.id, lease, 30)).save_asked
    await control.save_checkpoint(viewer, job.id)
    assert first == 1
    await pass_on_save(job.id, lease, first)
    assert (await beat(job.id, lease, 30)).save_asked == 2
    await pass_on_save(job.id, lease, 2)
    await pass_on_save(job.id, lease, 1)
    assert (await beat(job.id, lease, 30)).save_asked is None


@pytest.mark.parametrize("status", [S.QUEUED, S.VALIDATING, S.PAUSING, S.PAUSED, S.COMPLETED])
async def test_a_job_that_takes_no_step_saves_none(
    service: Service, viewer: Viewer, status: JobStatus
) -> None:
    job = await make_job(viewer, service)
    async with in_transaction():
        await TrainingJob.filter(id=job.id).update(status=status)
    with pytest.raises(Conflict, match=status):
        await control.save_checkpoint(viewer, job.id)
    assert (await TrainingJob.get(id=job.id)).saves_asked == 0
