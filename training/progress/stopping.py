"""How a child process learns that it should leave: a signal, or the end of its parent."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

GRACE_SECONDS: Final = 20.0
"""For an orphan to save a checkpoint before it ends itself."""


class StopRequest:
    """A stop that was asked for, once and for good."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask for a stop."""
        self._asked.set()

    def on_signals(self) -> None:
        """Take SIGTERM and SIGINT as a request to stop, from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.ask())


def on_lost_parent(leave: Callable[[], None], *, grace_seconds: float = GRACE_SECONDS) -> None:
    """Call `leave` once standard input ends, which the parent holds open while it lives; a process
    that is still there `grace_seconds` later is ended."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        leave()
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
