"""One attempt at a job, with a real child process that plays a script."""

import asyncio
import json
import os
import sqlite3

import pytest
from tortoise import connections
from tortoise.exceptions import OperationalError

from jobs.execution import supervisor
from jobs.execution.claims import claim, release
from jobs.execution.intake import EventLog, take
from jobs.execution.supervisor import Attempt, Seat, supervise
from jobs.models import Checkpoint, Epoch, JobEvent, ModelVersion, TrainingJob
from jobs.runs import control, lifecycle
from jobs.runs.history import Lease, move
from jobs.service import Service
from jobs.status import JobStatus, VersionStatus
from tests.factories import MEMORY, make_dataset, make_job
from tests.jobs.stage import (
    CANCELLED,
    COMPLETED,
    FAILED,
    RESULT,
    WHOLE_RUN,
    attempt,
    checkpoint,
    epoch,
    eventually,
    has_status,
    history,
    kinds,
    make_viewer,
    phase,
    progress,
    say,
    script_job,
    start_python,
    starts,
)
from tests.processes import is_alive
from training.config import JobSpec, TrainingType
from training.events import MemoryEstimated

pytestmark = [pytest.mark.usefixtures("scripted"), pytest.mark.redis]

CRASH = [say(phase("PREPARING"), phase("TRAINING"), progress(3)), ["print", "boom"], ["die"]]
STOPPED = ["on_term", [say(checkpoint(1), CANCELLED), ["exit", 0]]]
GUESS = ", probably for lack of memory"
LONG = [say(phase("PREPARING"), phase("TRAINING"), progress(1)), STOPPED, ["hang"]]


async def test_a_whole_run_completes_with_its_figures_and_a_version(service: Service) -> None:
    job = await make_job(await make_viewer(), service, epochs=2)
    folder = script_job(service, job.id, WHOLE_RUN)
    await attempt(service, job.id)
    done = await TrainingJob.get(id=job.id)
    assert await kinds(job.id) == [
        *("QUEUED", "PREPARING", "TRAINING", "Progress", "EpochCompleted", "CheckpointSaved"),
        *("Progress", "EpochCompleted", "CheckpointSaved", "VALIDATING", "COMPLETED"),
        "JobFinished",
    ]
    assert (done.status, done.progress, done.attempt, done.crashes) == (
        JobStatus.COMPLETED,
        100.0,
        1,
        0,
    )
    assert (done.training_loss, done.validation_accuracy, done.final_epoch) == (0.5, 0.75, 2)
    assert (done.worker_id, done.lease_expires_at, done.error) == (None, None, None)
    assert done.libraries == {"torch": "2.13.0"}
    assert done.finished_at is not None
    version = await ModelVersion.get(job_id=job.id)
    assert (version.version, version.status) == ("v1.0.0", VersionStatus.READY)
    assert version.path == f"jobs/{job.id}/model"
    assert version.result == RESULT.model_dump(mode="json")
    last = (await history(job.id))[-1].data
    assert last == {"status": "COMPLETED", "error": None, "version_id": str(version.id)}
    spec = JobSpec.model_validate_json((folder / "job.json").read_bytes())
    assert spec.config.epochs == 2
    assert spec.dataset_path == str(service.artifacts.records(job.dataset_id))
    assert spec.dataset_sha256 == job.dataset_sha256
    assert not is_alive(starts(folder)[0])


async def test_versions_of_one_model_are_numbered_on(service: Service) -> None:
    viewer = await make_viewer()
    first = await make_job(viewer, service)
    dataset = await make_dataset(viewer, service)
    request = lifecycle.RunRequest(first.model_id, dataset.id, TrainingType.LORA, {})
    second = await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
    for job in (first, second):
        script_job(service, job.id, WHOLE_RUN)
    await asyncio.gather(attempt(service, first.id, "one"), attempt(service, second.id, "two"))
    versions = await ModelVersion.all().order_by("version").values_list("version", flat=True)
    assert versions == ["v1.0.0", "v1.1.0"]


async def test_a_failed_run_ends_failed_with_the_childs_error(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    script_job(service, job.id, [say(phase("PREPARING"), FAILED), ["exit", 0]])
    await attempt(service, job.id)
    failed = await TrainingJob.get(id=job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.error == {"code": "OUT_OF_MEMORY", "message": "9 GiB", "remedy": "less"}
    assert await kinds(job.id) == ["QUEUED", "PREPARING", "FAILED", "JobFinished"]
    assert (await history(job.id))[-1].data["error"] == failed.error
    version = await ModelVersion.get(job_id=job.id)
    assert (version.status, version.error) == (VersionStatus.FAILED, failed.error)


async def test_a_job_already_taken_is_left_alone(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, LONG)
    first = asyncio.create_task(attempt(service, job.id, "first"))
    await eventually(lambda: bool(starts(folder)))
    await attempt(service, job.id, "second")
    assert (await TrainingJob.get(id=job.id)).worker_id == "first"
    assert len(starts(folder)) == 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_crashed_child_is_told_of_and_the_next_attempt_completes(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    script_job(quick, job.id, CRASH, WHOLE_RUN)
    await attempt(quick, job.id)
    queued = await TrainingJob.get(id=job.id)
    assert (queued.status, queued.crashes, queued.worker_id) == (JobStatus.QUEUED, 1, None)
    warning = (await history(job.id))[-1]
    assert warning.kind == "WarningRaised"
    assert warning.data["code"] == "CHILD_CRASHED"
    assert warning.data["message"] == (
        "The training process died with signal 9. Its last words: boom"
    )
    await attempt(quick, job.id)
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.attempt, done.crashes) == (JobStatus.COMPLETED, 2, 1)
    attempts = [event.attempt for event in await history(job.id)]
    assert attempts == sorted(attempts)


@pytest.mark.parametrize("available", [MEMORY.available, MEMORY.peak])
async def test_a_child_that_is_killed_is_told_of_with_its_estimated_memory(
    quick: Service, available: int
) -> None:
    job = await make_job(await make_viewer(), quick)
    memory = MEMORY.model_copy(update={"available": available})
    script_job(quick, job.id, [say(MemoryEstimated(memory=memory)), ["die"]])
    await attempt(quick, job.id)
    warning = (await history(job.id))[-1]
    assert warning.data["message"] == (
        f"The training process died with signal 9{'' if memory.fits else GUESS}. "
        "Of its memory the estimate was 3.23 GB "
        "(weights 0.27 GB, gradients 0.02 GB, optimizer 0.04 GB, activations 0.90 GB, "
        f"logits 1.50 GB, base 0.50 GB) with {available / 1e9:.2f} GB available."
    )
    advised = warning.data["remedy"].endswith(
        "Most is taken by logits, 1.50 GB. Lower maxSequenceLength: what is held at once is at "
        "least the longest row."
    )
    assert advised is not memory.fits


async def test_a_child_that_ends_itself_is_told_of_without_its_memory(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    script_job(quick, job.id, [say(MemoryEstimated(memory=MEMORY)), ["exit", 7]])
    await attempt(quick, job.id)
    warning = (await history(job.id))[-1]
    assert warning.data["message"] == "The training process died with exit code 7."


async def test_a_job_that_always_crashes_fails_in_the_end(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    folder = script_job(quick, job.id, [["exit", 7]])
    for _ in range(4):
        await attempt(quick, job.id)
    failed = await TrainingJob.get(id=job.id)
    assert (failed.status, failed.attempt) == (JobStatus.FAILED, 3)
    assert failed.error is not None
    assert failed.error["code"] == "CHILD_CRASHED"
    assert failed.error["message"] == "The training process died with exit code 7."
    assert len(starts(folder)) == 3
    assert (await kinds(job.id))[-2:] == ["FAILED", "JobFinished"]


async def test_cancelling_a_running_job_lets_its_child_save_and_ends_cancelled(
    service: Service,
) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    folder = script_job(service, job.id, LONG)
    running = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    asked = await control.cancel(viewer, job.id, queue=service.queue)
    assert asked.status is JobStatus.CANCELLING
    again = await control.cancel(viewer, job.id, queue=service.queue)
    assert again.last_seq == asked.last_seq
    await running
    assert (await kinds(job.id))[-4:] == [
        *("CANCELLING", "CheckpointSaved", "CANCELLED", "JobFinished"),
    ]
    assert await Checkpoint.filter(job_id=job.id).values_list("name", flat=True) == ["epoch-1"]
    assert not is_alive(starts(folder)[0])


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(quick: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, quick)
    deaf = [["ignore_term"], say(phase("PREPARING"), phase("TRAINING")), ["hang"]]
    folder = script_job(quick, job.id, deaf)
    running = asyncio.create_task(attempt(quick, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    await control.cancel(viewer, job.id, queue=quick.queue)
    await running
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.CANCELLED
    assert not is_alive(starts(folder)[0])


async def test_a_cancelled_job_whose_child_was_faster_completes(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    fast = [["on_term", [say(COMPLETED), ["exit", 0]]]]
    script_job(service, job.id, [*fast, say(phase("PREPARING"), phase("TRAINING")), ["hang"]])
    running = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    await control.cancel(viewer, job.id, queue=service.queue)
    await running
    assert (await kinds(job.id))[-3:] == ["CANCELLING", "COMPLETED", "JobFinished"]
    assert await ModelVersion.filter(job_id=job.id).count() == 1


async def test_a_leaving_worker_puts_its_job_back_without_counting_a_crash(
    service: Service,
) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, LONG, WHOLE_RUN)
    running = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = await TrainingJob.get(id=job.id)
    assert (left.status, left.crashes, left.worker_id) == (JobStatus.QUEUED, 0, None)
    assert (await history(job.id))[-1].data["reason"] == "its worker leaves"
    assert not is_alive(starts(folder)[0])
    await attempt(service, job.id, "next")
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 40, 60, 90])
async def test_a_worker_that_leaves_at_any_moment_leaves_the_job_whole(
    service: Service, turns: int
) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, LONG, WHOLE_RUN)
    running = asyncio.create_task(attempt(service, job.id))
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    left = await TrainingJob.get(id=job.id)
    assert (left.status, left.crashes, left.worker_id) == (JobStatus.QUEUED, 0, None)
    assert not any(map(is_alive, starts(folder)))
    await history(job.id)


async def test_a_leaving_worker_keeps_its_lease_while_the_child_saves(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    slow = ["on_term", [["sleep", 0.6], say(CANCELLED), ["exit", 0]]]
    script_job(service, job.id, [slow, say(phase("PREPARING"), phase("TRAINING")), ["hang"]])
    running = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    running.cancel()
    await asyncio.sleep(0.05)
    before = (await TrainingJob.get(id=job.id)).lease_expires_at
    await asyncio.sleep(0.3)
    after = (await TrainingJob.get(id=job.id)).lease_expires_at
    assert before is not None
    assert after is not None
    assert after > before
    await asyncio.gather(running, return_exceptions=True)


async def test_a_silent_child_is_ended_and_the_job_tried_again(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    mute = [["ignore_term"], say(phase("PREPARING"), phase("TRAINING")), ["hang"]]
    folder = script_job(quick, job.id, mute, WHOLE_RUN)
    await attempt(quick, job.id)
    assert (await history(job.id))[-1].data["code"] == "CHILD_SILENT"
    queued = await TrainingJob.get(id=job.id)
    assert (queued.status, queued.crashes) == (JobStatus.QUEUED, 1)
    assert not is_alive(starts(folder)[0])
    await attempt(quick, job.id)
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.COMPLETED


async def test_a_child_that_hangs_while_its_heartbeat_beats_is_ended_and_the_job_goes_on(
    quick: Service,
) -> None:
    job = await make_job(await make_viewer(), quick)
    start = say(phase("PREPARING"), phase("TRAINING"))
    hung = [["ignore_term"], start, ["heartbeat", 30.0], ["hang"]]
    folder = script_job(quick, job.id, hung, WHOLE_RUN)
    await attempt(quick, job.id)
    told = [event for event in await history(job.id) if event.kind == "Progress"]
    assert len(told) >= 2  # the measurement, and that it was told again
    assert {event.data["step"] for event in told} == {3}
    assert (await history(job.id))[-1].data["code"] == "CHILD_SILENT"
    assert not is_alive(starts(folder)[0])
    await attempt(quick, job.id)
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.COMPLETED


async def test_a_child_that_advances_without_a_word_is_not_hung(quick: Service) -> None:
    job = await make_job(await make_viewer(), quick)
    script_job(quick, job.id, [say(phase("PREPARING")), ["pulse", 1.8], *WHOLE_RUN])
    await attempt(quick, job.id)
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.crashes) == (JobStatus.COMPLETED, 0)


async def test_who_loses_the_lease_ends_the_child_and_writes_nothing(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    talkative = [say(progress(n)) if n % 2 else ["sleep", 0.05] for n in range(200)]
    start = say(phase("PREPARING"), phase("TRAINING"))
    folder = script_job(service, job.id, [["ignore_term"], start, *talkative])
    running = asyncio.create_task(attempt(service, job.id, "first"))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    await move(job.id, JobStatus.QUEUED, reason="its lease lapsed", columns={"worker_id": None})
    seq = (await TrainingJob.get(id=job.id)).last_seq
    await running
    left = await TrainingJob.get(id=job.id)
    assert (left.status, left.last_seq, left.crashes) == (JobStatus.QUEUED, seq, 0)
    assert len(await history(job.id)) == seq
    await eventually(lambda: not is_alive(starts(folder)[0]))


@pytest.mark.parametrize(
    ("word", "status"), [(COMPLETED, JobStatus.COMPLETED), (FAILED, JobStatus.FAILED)]
)
@pytest.mark.parametrize("was_read", [False, True])
async def test_the_last_word_of_a_child_whose_worker_was_killed_still_counts(
    service: Service, word: object, status: JobStatus, was_read: bool
) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, WHOLE_RUN)
    events = say(phase("PREPARING"), phase("TRAINING"), progress(9), word)[1:]  # type: ignore[arg-type]  # an event
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in events))
    if was_read:  # the worker was killed between the read of the last word and its conclusion
        await _take_all(service, job)
    await attempt(service, job.id, "next")
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.step) == (status, 9)
    assert starts(folder) == []
    assert (await kinds(job.id)).count("Progress") == 1


async def _take_all(service: Service, job: TrainingJob) -> None:
    held = await claim(job.id, "killed", 30)
    assert held is not None
    lease = Lease("killed", held.attempt)
    log = EventLog(service.artifacts.job(job.id) / "events.jsonl", held.log_offset)
    while await take(job.id, lease, log) is not None:
        pass
    await release(job.id, lease, reason="its worker was killed", crashed=True)


async def test_left_over_phases_of_a_former_attempt_do_not_move_the_job(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, [["sleep", 0.5], ["exit", 1]])
    left_over = say(phase("PREPARING"), phase("TRAINING"), phase("VALIDATING"), epoch(1))[1:]
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in left_over))
    running = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: bool(starts(folder)))
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.PREPARING
    await running
    assert await Epoch.filter(job_id=job.id).values_list("epoch", flat=True) == [1]


async def test_a_database_that_is_locked_for_a_while_loses_nothing(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    steps = [say(progress(n)) if n % 2 else ["sleep", 0.02] for n in range(1, 41)]
    start = say(phase("PREPARING"), phase("TRAINING"))
    end = say(phase("VALIDATING"), COMPLETED)
    folder = script_job(service, job.id, [start, *steps, end, ["exit", 0]])
    await _set_busy_timeout(50)
    running = asyncio.create_task(attempt(service, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    with sqlite3.connect(service.settings.home / "tunery.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        await eventually(lambda: not is_alive(starts(folder)[0]))
        await asyncio.sleep(0.5)
        assert not running.done()
        other.execute("ROLLBACK")
    await running
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.attempt, done.crashes) == (JobStatus.COMPLETED, 1, 0)
    taken = [e.data["step"] for e in await history(job.id) if e.kind == "Progress"]
    assert taken == list(range(1, 41, 2))


async def test_a_database_that_is_away_once_all_is_written_down_is_nobodys_failure(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make_job(await make_viewer(), service)
    script_job(service, job.id, WHOLE_RUN)
    run, lost = Attempt.run, []

    async def away(**_key: object) -> TrainingJob:
        lost.append("a connection")
        raise OperationalError("connection was closed in the middle of operation")

    async def run_then_lose(self: Attempt) -> None:
        await run(self)
        patched.setattr(TrainingJob, "get", away)

    with monkeypatch.context() as patched:
        patched.setattr(Attempt, "run", run_then_lose)
        await attempt(service, job.id)
    assert lost == ["a connection"]
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.COMPLETED


async def _set_busy_timeout(milliseconds: int) -> None:
    await connections.get("default").execute_query(f"PRAGMA busy_timeout={milliseconds}")


async def test_secrets_are_not_in_the_childs_environment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TUNERY_SECRET", "tunery_secret", "Tunery_Redis_Url", "MY_TUNERY_DATABASE_URL"):
        monkeypatch.setenv(name, "hidden")
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, [["environment"], *WHOLE_RUN])
    await attempt(service, job.id)
    seen = json.loads((folder / "environment.json").read_text())
    assert "hidden" not in seen.values()
    assert [name for name in seen if "TUNERY" in name.upper() or "RANK" in name] == []
    assert "CUDA_VISIBLE_DEVICES" not in seen
    assert (seen["HF_HOME"], seen["OMP_WAIT_POLICY"]) == ("/somewhere", "passive")
    assert seen["OMP_NUM_THREADS"] == str(service.settings.threads)


async def test_a_child_sees_the_devices_that_were_lent_to_its_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, [["environment"], *WHOLE_RUN])
    await supervise(
        job.id,
        seat=Seat("worker", ("1", "3")),
        settings=service.settings,
        artifacts=service.artifacts,
        queue=service.queue,
    )
    seen = json.loads((folder / "environment.json").read_text())
    assert seen["CUDA_VISIBLE_DEVICES"] == "1,3"


@pytest.mark.parametrize("end", [["exit", 0], ["die"]])
async def test_what_the_child_started_is_gone_with_it(service: Service, end: list[str]) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, [["spawn"], say(FAILED), end])
    await attempt(service, job.id)
    grandchild = int((folder / "grandchild").read_text())
    await eventually(lambda: not is_alive(grandchild))


async def test_a_child_whose_forerunner_has_not_left_is_no_crash(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    script_job(service, job.id, [["exit", 75]], WHOLE_RUN)
    await attempt(service, job.id)
    queued = await TrainingJob.get(id=job.id)
    assert (queued.status, queued.crashes) == (JobStatus.QUEUED, 0)
    await attempt(service, job.id)
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.COMPLETED


async def test_a_cancellation_between_a_crash_and_its_record_ends_cancelled(
    quick: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, quick)
    script_job(quick, job.id, CRASH)

    async def cancelled_just_before(*args: object, **options: object) -> int:
        if await has_status(job.id, JobStatus.TRAINING):
            await control.cancel(viewer, job.id, queue=quick.queue)
        return await release(*args, **options)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(supervisor, "release", cancelled_just_before)
    await attempt(quick, job.id)
    assert (await kinds(job.id))[-3:] == ["CANCELLING", "CANCELLED", "JobFinished"]


async def test_a_childs_lifeline_is_cut_with_its_worker(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    folder = script_job(service, job.id, [["hang"]])
    program = (
        "import asyncio, sys, pathlib\n"
        "from tests.jobs import stage\n"
        "asyncio.create_subprocess_exec = stage.play_scripts_async\n"
        "from jobs.processes.child import Child\n"
        "async def main():\n"
        "    log = pathlib.Path(sys.argv[1]) / 'log'\n"
        "    await Child.start('training.run', sys.argv[1], log=log, threads=1)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await start_python(program, str(folder))
    await eventually(lambda: bool(starts(folder)))
    os.kill(parent.pid, 9)
    await parent.wait()
    await eventually(lambda: not is_alive(starts(folder)[0]))


async def test_an_unread_event_of_another_version_is_told_of_and_the_run_goes_on(
    service: Service,
) -> None:
    job = await make_job(await make_viewer(), service)
    odd = ["say", '{"kind":"Telepathy","at":"2026-01-01T00:00:00Z"}', "not json at all"]
    script_job(service, job.id, [odd, *WHOLE_RUN])
    await attempt(service, job.id)
    assert (await TrainingJob.get(id=job.id)).status is JobStatus.COMPLETED
    warnings = await JobEvent.filter(job_id=job.id, kind="WarningRaised").order_by("seq")
    assert [warning.data["code"] for warning in warnings] == ["UNREADABLE_EVENT"] * 2
    assert "Telepathy" in warnings[0].data["message"]
