"""A run on several devices of one machine: a process for each, started, watched and ended together.

The launcher stays small: it imports no torch. It passes a request to stop on to every process. Where
one fails, it ends the others, and tells the end in the run's events when no process can any more. Where
one lacked memory amid their passes, it starts them all again, to hold fewer tokens at once.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from training import events
from training.devices.limit import TokenLimit, asked_for, lowered
from training.devices.ranks import MASTER_ADDRESS, Place, clear, word_file
from training.devices.token_budget import TokenBudget
from training.event_log import EventLog
from training.events import Failure, Finished, Outcome
from training.locking import EXIT_BUSY, folder_lock

INTERNAL: Final = "INTERNAL"
"""The code of a failure that no one foresaw."""
SIGNALLED: Final = 128
"""A run one of whose processes was ended by a signal exits with this and the signal's number, as shells do."""
TICK_SECONDS: Final = 0.05
GRACE_SECONDS: Final = 5.0
"""From the end of one process to the end of those that wait for it; enough for a last word."""

_RUN: Final = ("-m", "training.run")


class _Word(NamedTuple):
    rank: int
    event: Finished
    error: Failure


def launch(
    job_dir: Path,
    size: int,
    *,
    should_stop: Callable[[], bool],
    program: Sequence[str] = _RUN,
) -> int:
    """Run `program`, which is Python's arguments, in `size` processes; the exit code of the run."""
    while True:
        codes = _together(job_dir, size, should_stop=should_stop, program=program)
        limit = asked_for(job_dir, size)
        if limit is None:
            return _conclude(job_dir, codes, size)
        if (code := _lowered(limit, job_dir, should_stop)) is not None:
            return code


def _together(
    job_dir: Path, size: int, *, should_stop: Callable[[], bool], program: Sequence[str]
) -> dict[int, int]:
    """Start all processes, and let none outlast the others; what `_watch` gives."""
    clear(job_dir)
    ranks = [_start(job_dir, Place(rank, size, rank, size), program) for rank in range(size)]
    try:
        return _watch(ranks, should_stop)
    finally:
        for process in ranks:
            process.kill()
            process.communicate()


def _start(job_dir: Path, place: Place, program: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-P", *program, str(job_dir), "--lifeline"],
        stdin=subprocess.PIPE,
        env=_environment(place),
    )


def _environment(place: Place) -> dict[str, str]:
    """This process's environment, the threads shared out, and all talk kept within the machine."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    share = str(max(1, threads // place.size))
    inherited = {name: value for name, value in os.environ.items() if name != MASTER_ADDRESS}
    return inherited | {
        **place.environment(),
        "OMP_NUM_THREADS": share,
        "MKL_NUM_THREADS": share,
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }


def _watch(
    ranks: Sequence["subprocess.Popen[bytes]"], should_stop: Callable[[], bool]
) -> dict[int, int]:
    """Exit codes by rank, in the order in which they ended. Missing are those that were still there
    some time after the leader had left, or after one had failed."""
    codes: dict[int, int] = {}
    asked = False
    deadline: float | None = None
    while len(codes) < len(ranks) and (deadline is None or time.monotonic() < deadline):
        time.sleep(TICK_SECONDS)
        for rank, process in enumerate(ranks):
            if rank not in codes and (code := process.poll()) is not None:
                codes[rank] = code
        if should_stop() and not asked:
            asked = True
            for process in ranks:
                process.terminate()
        if deadline is None and (0 in codes or any(codes.values())):
            deadline = time.monotonic() + GRACE_SECONDS
    return codes


def _lowered(limit: TokenLimit, job_dir: Path, should_stop: Callable[[], bool]) -> int | None:
    """Set the limit and say so; the exit code of a run that does not begin again after all."""
    with folder_lock(job_dir) as acquired:
        if not acquired:
            return EXIT_BUSY
        TokenBudget(job_dir).lower(limit.tokens)
        with closing(EventLog(job_dir / "events.jsonl")) as log:
            log.emit(lowered(limit))
            if should_stop():
                log.emit(Finished(outcome=Outcome.CANCELLED))
                return 0
    return None


def _conclude(job_dir: Path, codes: Mapping[int, int], size: int) -> int:
    """Tell why the run failed, if it did and the reason is known; the exit code of the run."""
    if codes.get(0) in (0, EXIT_BUSY):
        return codes[0]
    words = _words(job_dir, size)
    told = [word for word in words if word.error.code != INTERNAL]
    lost = [rank for rank, code in codes.items() if code and all(w.rank != rank for w in words)]
    if not told and (lost or not words):
        # A process that vanished is the reason why others lost touch with it, so that their words
        # say nothing; the run may be tried again.
        rank = (lost or list(codes))[0]
        sys.stderr.write(f"Process {rank} of {size} ended with {_how(codes[rank])}.\n")
        return SIGNALLED - codes[rank] if codes[rank] < 0 else 1
    first = (told or words)[0]
    with folder_lock(job_dir) as acquired:
        if not acquired:
            return EXIT_BUSY
        log = EventLog(job_dir / "events.jsonl")
        log.emit(Finished(outcome=Outcome.FAILED, error=_placed(first, words, size)))
        log.close()
    return 0 if told else 1


def _words(job_dir: Path, size: int) -> list[_Word]:
    """The failures that processes told of, the earliest first."""
    words = []
    for rank in range(size):
        path = word_file(job_dir, rank)
        for line in path.read_bytes().splitlines() if path.exists() else ():
            event = events.parse(line)
            if isinstance(event, Finished) and event.error is not None:
                words.append(_Word(rank, event, event.error))
    return sorted(words, key=lambda word: word.event.at)


def _placed(word: _Word, words: Sequence[_Word], size: int) -> Failure:
    """The failure, with the process that met it named unless all of them did."""
    if len([other for other in words if other.error == word.error]) == size:
        return word.error
    message = f"In process {word.rank} of {size}: {word.error.message}"
    return word.error.model_copy(update={"message": message})


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
