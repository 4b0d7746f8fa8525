"""A process of its own for whatever is measured, with the same few settings for each."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Ended:
    """A process that ended well. `started` is in seconds since the epoch."""

    started: float
    seconds: float
    cpu_seconds: float
    """Of all its threads, in user and system mode."""
    peak_bytes: int
    """Resident memory at its most: its own, or that of a larger process it waited for."""


def run(
    command: Sequence[str], log: Path, *, threads: int, environment: Mapping[str, str] = _NOTHING
) -> Ended:
    """Run a command to its end, with some more `environment` than all have. Exits with the end of its
    log where it failed."""
    with log.open("wb") as sink:
        started = time.time()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=_environment(threads) | dict(environment),
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        seconds = time.time() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    return Ended(
        started=started,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def wait_policy() -> str:
    """How OpenMP threads wait, of every arm that has no opinion of its own: as in this process, or
    else without burning a core."""
    return os.environ.get("OMP_WAIT_POLICY", "passive")


def _environment(threads: int) -> dict[str, str]:
    """This process's environment, without a network."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": wait_policy(),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
