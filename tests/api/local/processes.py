"""Starting and watching processes in tests."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Fail where the condition does not become true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """The same, while the event loop goes on."""
    await asyncio.to_thread(wait_until, condition, seconds)


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process of its own; its output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def children_of(pid: int) -> list[int]:
    """The living processes that this one has started."""
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    )
    rows = (row.split() for row in listing.stdout.splitlines())
    return [int(child) for child, parent, state in rows if int(parent) == pid and state[0] != "Z"]
