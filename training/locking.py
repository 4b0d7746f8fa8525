"""One process at a time in a job's folder, whoever started it."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

EXIT_BUSY: Final = 75
"""What a child exits with where it did not get its folder: EX_TEMPFAIL, try again later."""
LOCK: Final = "lock"
"""The name of the file that is locked in a folder."""
WAIT_SECONDS: Final = 30.0
"""For a former child to leave: enough for it to save a checkpoint."""


@contextmanager
def folder_lock(folder: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[bool]:
    """Hold the folder's lock, which dies with the process; yields whether it was acquired."""
    with (folder / LOCK).open("w") as lock:
        yield _acquired(lock, time.monotonic() + wait_seconds)


def _acquired(lock: IO[str], deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True
