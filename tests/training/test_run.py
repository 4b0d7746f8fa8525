"""The training child as the service starts it: killed, stopped, orphaned, locked out."""

import fcntl
import itertools
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.training.jobs import (
    of_kind,
    qa_rows,
    read_events,
    run_here,
    start_child,
    wait_for,
    write_job,
)
from tests.training.weights import difference
from training.events import (
    CheckpointSaved,
    Event,
    Finished,
    Outcome,
    Phase,
    PhaseStarted,
    Progress,
    Resumed,
)
from training.locking import folder_lock

MakeJob = Callable[..., Path]

pytestmark = pytest.mark.slow

ROWS = qa_rows(600)  # an epoch takes longer than half a second, in which progress is told
LONG = {"rows": ROWS, "batch_size": 2, "epochs": 3}


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long job that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "job"
    job = write_job(folder, tiny_model, ROWS, batch_size=2, epochs=3)
    run_here(job)
    return job


def in_second_epoch(found: Sequence[Event]) -> bool:
    return any(event.epoch == 2 and event.step > 250 for event in of_kind(found, Progress))


def test_a_killed_run_goes_on_to_the_very_same_model(make_job: MakeJob, whole: Path) -> None:
    job = make_job("killed", **LONG)
    child = start_child(job)
    wait_for(job, in_second_epoch)
    child.kill()
    child.communicate()
    assert of_kind(read_events(job), Finished) == []
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.epoch for event in of_kind(read_events(job), Resumed)] == [2]
    assert difference(whole, job) == 0.0


def test_a_terminated_run_saves_its_step_and_goes_on_from_it(
    make_job: MakeJob, whole: Path
) -> None:
    job = make_job("stopped", **LONG)
    child = start_child(job)
    wait_for(job, in_second_epoch)
    child.send_signal(signal.SIGTERM)
    stdout, _ = child.communicate()
    assert (child.returncode, stdout) == (0, b"")
    found = read_events(job)
    assert isinstance(found[-1], Finished)
    assert found[-1].outcome is Outcome.CANCELLED
    stopped_at = of_kind(found, CheckpointSaved)[-1].step
    assert 250 < stopped_at < 480
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [stopped_at]
    assert difference(whole, job) == 0.0


def test_an_orphan_stops_as_if_terminated(make_job: MakeJob) -> None:
    job = make_job(**LONG)
    child = start_child(job, "--lifeline")
    wait_for(job, lambda found: bool(of_kind(found, Progress)))
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=20) == 0
    end = read_events(job)[-1]
    assert isinstance(end, Finished)
    assert end.outcome is Outcome.CANCELLED
    for stream in (child.stdout, child.stderr):
        assert stream is not None
        stream.close()


def test_events_come_at_least_twice_a_second_while_training(make_job: MakeJob) -> None:
    job = make_job(**LONG)
    child = start_child(job)
    assert child.communicate()[0] == b""
    assert child.returncode == 0
    found = read_events(job)
    assert [event.phase for event in of_kind(found, PhaseStarted)] == list(Phase)
    times = [event.at for event in of_kind(found, Progress)]
    gaps = [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
    assert max(gaps) < 1.0  # half a second, and slack for a machine that is busy
    assert min(gaps[:-1]) > 0.2
    steps = [event.step for event in of_kind(found, Progress)]
    assert steps == sorted(steps)


def test_an_expected_failure_is_the_last_event_and_no_crash(make_job: MakeJob) -> None:
    job = make_job(rows=[{"question": "only"}])
    child = start_child(job)
    child.communicate()
    end = read_events(job)[-1]
    assert child.returncode == 0
    assert isinstance(end, Finished)
    assert end.error is not None
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "DATASET_DAMAGED")


def test_an_unexpected_failure_is_told_and_traced(make_job: MakeJob) -> None:
    job = make_job()
    (job / "job.json").write_text(json.dumps({"config": {}}))
    child = start_child(job)
    _, stderr = child.communicate()
    end = read_events(job)[-1]
    assert child.returncode == 1
    assert isinstance(end, Finished)
    assert end.error is not None
    assert end.error.code == "INTERNAL"
    assert b"Traceback" in stderr


def test_a_completed_run_is_not_run_again(make_job: MakeJob) -> None:
    job = make_job()
    run_here(job)
    before = (job / "events.jsonl").read_bytes()
    child = start_child(job)
    child.communicate()
    assert child.returncode == 0
    assert (job / "events.jsonl").read_bytes() == before


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with folder_lock(tmp_path, wait_seconds=0.2) as acquired:
            assert not acquired
    with folder_lock(tmp_path, wait_seconds=0.2) as acquired:
        assert acquired
