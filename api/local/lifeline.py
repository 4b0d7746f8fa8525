"""Nobody outlives the parent: however it ends, kill -9 included, its children end too.

A child of ours reads its standard input, a pipe whose other end only the parent holds: its end is
the parent's end. A foreign program gets a watchdog, a small shell that reads such a pipe for it;
on Linux the kernel is asked as well.
"""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from typing import Final

__all__ = ["end_with_parent", "exit_with_parent", "start_watchdog"]

PR_SET_PDEATHSIG: Final = 1
LONGEST_FAREWELL_SECONDS: Final = 90.0
WATCH: Final = """
while read -r _; do :; done
kill -TERM "$1" || exit
for _ in 1 2 3 4 5; do sleep 1; kill -0 "$1" || exit; done
kill -KILL "$1"
"""


def exit_with_parent() -> None:
    """End this process when its standard input does: first politely, later by force."""
    threading.Thread(target=_wait_for_parent, name="lifeline", daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1024):  # sys.stdin would hold a lock that the interpreter's exit needs
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LONGEST_FAREWELL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


async def start_watchdog(pid: int) -> Process:
    """A process that ends `pid` once this process is gone.

    To be killed before `pid` is reaped, or it may hit whoever is given that number next.
    """
    return await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        WATCH,
        "watchdog",
        str(pid),
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,
    )


def end_with_parent() -> Callable[[], None] | None:
    """What a child does before it becomes another program: ask the kernel for a signal.

    The signal comes when the thread that started the child ends, so that must be the main thread.
    None where the kernel offers no such thing.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
