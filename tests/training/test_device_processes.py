"""A run on two devices as the service starts it, or torchrun: killed and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.processes import is_alive
from tests.training.jobs import of_kind, qa_rows, read_events, run_here, start_child, wait_for
from training.config import Sharding
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Event,
    Finished,
    Outcome,
    Progress,
    Resumed,
)

MakeJob = Callable[..., Path]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
LONG = {"rows": qa_rows(80), "batch_size": 2, "epochs": 3, "devices": 2}


def ranks_of(launcher: "subprocess.Popen[bytes]") -> list[int]:
    """The processes it started, in the order in which it did."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def all_gone(pids: Sequence[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def outcomes(job: Path) -> list[Outcome]:
    return [event.outcome for event in of_kind(read_events(job), Finished)]


def steps_after(number: int) -> Callable[[Sequence[Event]], bool]:
    """Whether progress was told beyond the step of the newest resumption, or the beginning."""

    def condition(found: Sequence[Event]) -> bool:
        resumed = of_kind(found, Resumed)
        if len(resumed) < number:
            return False
        since = resumed[-1].step if number else 0
        last = of_kind(found, Progress)[-1:]
        return bool(last) and last[0].step > max(since, 34)

    return condition


def start(job: Path, attempt: int) -> "tuple[subprocess.Popen[bytes], list[int]]":
    """Start the job, and wait until it trains beyond what it resumed from."""
    launcher = start_child(job, "--lifeline")
    wait_for(job, steps_after(attempt), timeout_seconds=100)
    ranks = ranks_of(launcher)
    assert len(ranks) == 2
    return launcher, ranks


def test_a_run_on_two_devices_is_killed_and_stopped_and_ends_on_one(make_job: MakeJob) -> None:
    job = make_job(sharding=Sharding.FULL, **LONG)

    launcher, ranks = start(job, 0)
    os.kill(ranks[1], signal.SIGKILL)
    _, stderr = launcher.communicate(timeout=30)
    assert launcher.returncode == 128 + signal.SIGKILL
    assert b"Process 1 of 2 ended with signal 9." in stderr
    assert all_gone(ranks, 0)
    assert outcomes(job) == []  # a crash, to be tried again

    launcher, ranks = start(job, 1)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.communicate(timeout=60)[0] == b""
    assert (launcher.returncode, all_gone(ranks, 0)) == (0, True)
    found = read_events(job)
    assert outcomes(job) == [Outcome.CANCELLED]
    saved = of_kind(found, CheckpointSaved)[-1]

    assert run_here(job).outcome is Outcome.COMPLETED
    found = read_events(job)
    assert of_kind(found, Resumed)[-1].checkpoint == saved.name
    assert [event.epoch for event in of_kind(found, EpochCompleted)] == [1, 2, 3]


def test_torchrun_runs_the_same_job(make_job: MakeJob) -> None:
    job = make_job(devices=2)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", *torchrun, "-m", "training.run", str(job)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    found = read_events(job)
    assert outcomes(job) == [Outcome.COMPLETED]
    assert [event.epoch for event in of_kind(found, EpochCompleted)] == [1, 2]
    assert list((job / "model").glob("*.safetensors")) != []
