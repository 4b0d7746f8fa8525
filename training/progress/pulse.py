"""A child's sign of life beside its events: a file that it touches wherever its work advances.

A pulse says that work went on, not that the process exists: a thread that beat by a clock would
beat for a hung run too. No torch here: the watching side has none.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_FILE: Final = "pulse"
BEAT_SECONDS: Final = 1.0
"""The least time between two touches of the file."""
LOOK_SECONDS: Final = 5.0
"""How often `while_busy` looks at the processor time used."""
BUSY_SHARE: Final = 0.01
"""A process that loads or downloads uses more of a core than this; one that waits for ever, less."""


class Pulse:
    """Beats into a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._last = -BEAT_SECONDS
        self._lock = threading.Lock()

    def beat(self) -> None:
        """Say that work went on; cheap enough for an inner loop."""
        with self._lock:
            now = time.monotonic()
            if now - self._last < BEAT_SECONDS:
                return
            self._last = now
        with suppress(OSError):  # a full disk ends a run by its own name, not by this
            self._path.touch()

    def never_stop(self) -> bool:
        """Beats, and never asks to stop: for work that looks now and then whether it should."""
        self.beat()
        return False

    @contextmanager
    def while_busy(
        self, *, used: Callable[[], float] = time.process_time, look_seconds: float = LOOK_SECONDS
    ) -> Iterator[None]:
        """Beat as long as this process uses its processor: for one call into a library that says
        nothing while it loads, downloads or writes for minutes."""
        done = threading.Event()

        def look() -> None:
            before = used()
            while not done.wait(look_seconds):
                now = used()
                if now - before > BUSY_SHARE * look_seconds:
                    self.beat()
                before = now

        watcher = threading.Thread(target=look, name="pulse", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            self.beat()


class PulseReader:
    """The watching side: whether a folder's child has advanced since the last look."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._seen = self._stamp()

    def has_moved(self) -> bool:
        """Whether the pulse beat since the last call, or since this was made."""
        before, self._seen = self._seen, self._stamp()
        return self._seen != before

    def _stamp(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
