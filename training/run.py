"""The training child: `python -P -m training.run JOB_DIR [--lifeline]`.

Reads `JOB_DIR/job.json`, appends to `JOB_DIR/events.jsonl`, leaves `JOB_DIR/model/`. Run again on
the same folder it goes on from the newest checkpoint. A job for several devices is run in a process
for each; torchrun may start them instead, also on several machines that share the folder. Exit
codes: 0 where the last event tells the end, 1 after an unexpected error (told too, with its traceback
on stderr), 75 where another process works on the folder, 128 and a signal's number where that ended one
of several processes.
"""

import argparse
import logging
import os
import sys
import traceback
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from training.config import JobSpec
from training.devices.errors import PassAbandoned
from training.devices.launch import INTERNAL, launch
from training.devices.limit import TokenLimit, ask_for
from training.devices.ranks import ALONE, Place, place_in, word_file
from training.errors import TrainingError
from training.event_log import EventLog
from training.events import Failure, Finished, Outcome, Phase, PhaseStarted
from training.lean_imports import lean_imports
from training.libraries import (
    imported_at_once,
    leave_out_bitsandbytes,
    leave_out_unused,
    memory_failures_named,
    prepare_environment,
    refuse_slow_products,
    silence,
)
from training.locking import EXIT_BUSY, folder_lock
from training.progress.stopping import StopRequest, on_lost_parent


def main(arguments: list[str] | None = None) -> int:
    """Run one job folder; the exit code."""
    parser = argparse.ArgumentParser(prog="training.run", description="Train one job folder.")
    parser.add_argument("job_dir", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    stop = StopRequest()
    stop.on_signals()
    if options.lifeline:
        on_lost_parent(stop.ask)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    place = place_in(os.environ)
    if place.size > 1:
        return _take_part(options.job_dir, stop, place)
    devices = _devices(options.job_dir)
    if devices > 1:
        return launch(options.job_dir, devices, should_stop=stop)
    with folder_lock(options.job_dir) as acquired:
        if not acquired:
            return EXIT_BUSY
        with closing(EventLog(options.job_dir / "events.jsonl")) as log:
            return _run_and_tell(options.job_dir, log, stop)


def _devices(job_dir: Path) -> int:
    """How many the job asks for; 1 where its spec cannot be read, which the run will tell."""
    try:
        spec = JobSpec.model_validate_json((job_dir / "job.json").read_bytes())
    except (OSError, ValidationError):
        return 1
    return spec.config.devices


def _run_and_tell(job_dir: Path, log: EventLog, stop: StopRequest) -> int:
    """Run, and tell the end however it comes."""
    if log.has_completed():
        return 0
    try:
        end = _run(job_dir, log, stop)
    except TrainingError as error:
        end = _failed(error.failure())
    except Exception as error:  # noqa: BLE001 - the task's edge: the job must end as FAILED
        traceback.print_exc()
        log.emit(_failed(_unexpected(error)))
        return 1
    log.emit(end)
    return 0


def _take_part(job_dir: Path, stop: StopRequest, place: Place) -> int:
    """Run as one of several. Only the leader writes events; a failure is left for the launcher,
    who knows which of all failures was the first."""
    path = word_file(job_dir, place.rank)
    path.parent.mkdir(exist_ok=True)
    with closing(EventLog(path, only_the_end=True)) as own:
        if place.rank > 0:
            return _try(job_dir, own, own, stop, place)
        with folder_lock(job_dir) as acquired:
            if not acquired:
                return EXIT_BUSY
            with closing(EventLog(job_dir / "events.jsonl")) as log:
                return 0 if log.has_completed() else _try(job_dir, log, own, stop, place)


def _try(job_dir: Path, log: EventLog, own: EventLog, stop: StopRequest, place: Place) -> int:
    try:
        end = _run(job_dir, log, stop, place)
    except PassAbandoned as error:
        limit = TokenLimit(tokens=error.tokens, reason=error.message)
        ask_for(limit, job_dir, rank=place.rank)
        return 1
    except TrainingError as error:
        own.emit(_failed(error.failure()))
        return 1
    except Exception as error:  # noqa: BLE001 - as above
        traceback.print_exc()
        own.emit(_failed(_unexpected(error)))
        return 1
    log.emit(end)
    return 0


def _run(job_dir: Path, log: EventLog, stop: StopRequest, place: Place = ALONE) -> Finished:
    spec = JobSpec.model_validate_json((job_dir / "job.json").read_bytes())
    log.emit(PhaseStarted(phase=Phase.PREPARING))
    prepare_environment(spec.model_path)
    if not spec.config.needs_bitsandbytes:
        leave_out_bitsandbytes()
    leave_out_unused()
    with imported_at_once(), lean_imports(alone=place.size == 1):
        silence()
        refuse_slow_products()
        from training import (
            pipeline,  # takes seconds, which must find signals guarded and the phase told
        )
    with memory_failures_named():
        return pipeline.run(spec, job_dir, log=log, should_stop=stop, place=place)


def _failed(error: Failure) -> Finished:
    return Finished(outcome=Outcome.FAILED, error=error)


def _unexpected(error: BaseException) -> Failure:
    return Failure(
        code=INTERNAL,
        message=f"{type(error).__name__}: {error}",
        remedy="See train.log for the details.",
    )


if __name__ == "__main__":
    sys.exit(main())
