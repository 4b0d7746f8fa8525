"""The training child: `python -P -m training.run JOB_DIR [--lifeline]`.

Reads `JOB_DIR/job.json`, appends to `JOB_DIR/events.jsonl`, leaves `JOB_DIR/model/`. Run again on
the same folder it goes on from the newest checkpoint. Exit codes: 0 where the last event tells the
end, 1 after an unexpected error (told too, with its traceback on stderr), 75 where another process
works on the folder.
"""

import argparse
import logging
import sys
import traceback
from pathlib import Path

from training.config import JobSpec
from training.errors import TrainingError
from training.event_log import EventLog
from training.events import Failure, Finished, Outcome, Phase, PhaseStarted
from training.libraries import (
    leave_out_bitsandbytes,
    memory_failures_named,
    prepare_environment,
    silence,
)
from training.locking import EXIT_BUSY, folder_lock
from training.stopping import StopRequest, on_lost_parent


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
    with folder_lock(options.job_dir) as acquired:
        if not acquired:
            return EXIT_BUSY
        log = EventLog(options.job_dir / "events.jsonl")
        try:
            return _run_and_tell(options.job_dir, log, stop)
        finally:
            log.close()


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


def _run(job_dir: Path, log: EventLog, stop: StopRequest) -> Finished:
    spec = JobSpec.model_validate_json((job_dir / "job.json").read_bytes())
    log.emit(PhaseStarted(phase=Phase.PREPARING))
    prepare_environment(spec.model_path)
    if not spec.config.needs_bitsandbytes:
        leave_out_bitsandbytes()
    silence()
    from training import (
        pipeline,  # takes seconds, which must find signals guarded and the phase told
    )

    with memory_failures_named():
        return pipeline.run(spec, job_dir, log=log, should_stop=stop)


def _failed(error: Failure) -> Finished:
    return Finished(outcome=Outcome.FAILED, error=error)


def _unexpected(error: BaseException) -> Failure:
    return Failure(
        code="INTERNAL",
        message=f"{type(error).__name__}: {error}",
        remedy="See train.log for the details.",
    )


if __name__ == "__main__":
    sys.exit(main())
