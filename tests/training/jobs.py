"""Reading and running job folders in tests."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from training import events
from training.config import DataType, JobSpec, Start, TrainingType, resolve
from training.devices.token_budget import Note, TokenBudget
from training.event_log import EventLog
from training.events import EpochCompleted, Event, Finished

E = TypeVar("E", bound=Event)


def write_job(
    folder: Path,
    model: Path,
    rows: Sequence[object],
    *,
    data_type: DataType = DataType.QA,
    training_type: TrainingType = TrainingType.LORA,
    start: Start | None = None,
    held_out: Sequence[object] | None = None,
    **choices: object,
) -> Path:
    """Write a job folder with a dataset of these rows, and one of those held out."""
    folder.mkdir()
    data, tested = folder / "data.jsonl", folder / "held_out.jsonl"
    write_rows(data, rows)
    defaults = {"learning_rate": 1e-3, "batch_size": 4, "epochs": 2, "validation_split": 0.2}
    if held_out is not None:
        write_rows(tested, held_out)
        defaults["validation_split"] = 0.0
    spec = JobSpec(
        config=resolve(training_type, defaults | choices),
        model_path=str(model),
        dataset_path=str(data),
        data_type=data_type,
        validation_path=None if held_out is None else str(tested),
        start=start,
    )
    (folder / "job.json").write_text(spec.model_dump_json())
    return folder


def write_rows(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def qa_rows(count: int) -> list[dict[str, str]]:
    return [
        {"question": f"What is {i} and {i}?", "answer": f"It is {2 * i}." + " Yes." * (i % 5)}
        for i in range(count)
    ]


def read_events(job: Path) -> list[Event]:
    return [events.parse(line) for line in (job / "events.jsonl").read_bytes().splitlines()]


def whole_events(job: Path) -> list[Event]:
    """The events so far, without the one that a killed writer left torn."""
    path = job / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [events.parse(line) for line in lines if line.endswith(b"\n")]


def of_kind(found: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in found if isinstance(event, kind)]


def losses(job: Path) -> list[float]:
    """Of the last telling of each epoch, training and validation."""
    epochs = {event.epoch: event for event in of_kind(read_events(job), EpochCompleted)}
    return [
        loss
        for _, event in sorted(epochs.items())
        for loss in (event.training_loss, event.validation_loss or math.nan)
    ]


def spec_of(job: Path) -> JobSpec:
    return JobSpec.model_validate_json((job / "job.json").read_bytes())


def run_here(
    job: Path, should_stop: Callable[[], bool] = lambda: False, *, estimated: bool = False
) -> Finished:
    """Run a job in this process.

    The estimate of its memory takes as long as all else of so small a run and changes nothing of it,
    as `test_pipeline` shows: without `estimated` the run is one of those that nothing tells it of.
    """
    from training import pipeline  # torch: only the tests that train need it
    from training.memory import accounting

    log = EventLog(job / "events.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        if not estimated:
            patch.setattr(accounting, "memory_estimate", lambda *_: None)
        try:
            end = pipeline.run(spec_of(job), job, log=log, should_stop=should_stop)
            log.emit(end)
        finally:
            log.close()
    return end


def start_child(job: Path, *options: str) -> subprocess.Popen[bytes]:
    """Run a job as the service does, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "training.run", str(job), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )


def wait_for(
    job: Path, condition: Callable[[Sequence[Event]], bool], timeout_seconds: float = 45
) -> None:
    """Return as soon as the events so far fulfil a condition."""
    deadline = time.monotonic() + timeout_seconds
    path = job / "events.jsonl"
    while time.monotonic() < deadline:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if condition([events.parse(line) for line in lines if line.endswith(b"\n")]):
            return
        time.sleep(0.01)
    raise TimeoutError(f"no such event within {timeout_seconds} s")


def token_note(job_dir: Path) -> Note | None:
    """What a job's folder says of its token budget, wherever it was written."""
    note = TokenBudget(job_dir).read()
    return note and note.model_copy(update={"holder": None})
