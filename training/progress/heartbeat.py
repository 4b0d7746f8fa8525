"""Progress events at a steady pace, however short or long a training step is."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from training.errors import DiskFull
from training.events import Progress

SHORTEST_SECONDS: Final = 0.25
"""The least time between two events."""
LONGEST_SECONDS: Final = 0.45
"""The most, so that a listener hears something every half second."""
PATIENCE_SECONDS: Final = 60.0
"""The least time without an advance after which nothing is told again."""
PATIENCE_FACTOR: Final = 10
"""The same, in multiples of the longest time that an advance has taken."""


class Heartbeat:
    """Tells the newest measurement from a thread of its own, while the block runs.

    Where no new one came, the last is told again with its remaining time brought forward: as long
    as the work can be believed to go on. This thread would beat for a hung run too; so it falls
    silent when no advance came for too long, and whoever listens can tell.
    """

    def __init__(self, emit: Callable[[Progress], None]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._latest: tuple[float, Progress] | None = None
        self._is_new = False
        self._advanced_at = time.monotonic()
        self._longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def measured(self, progress: Progress) -> None:
        """Hand over a measurement; of several between two ticks only the last is told."""
        self.advanced()
        with self._lock:
            self._latest = (time.monotonic(), progress)
            self._is_new = True

    def advanced(self) -> None:
        """Say that the work went on, though there is nothing new to measure."""
        with self._lock:
            now = time.monotonic()
            self._longest = max(self._longest, now - self._advanced_at)
            self._advanced_at = now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._tell(again=False)

    def _run(self) -> None:
        while not self._stop.wait(SHORTEST_SECONDS):
            if not self._tell(again=False):
                self._stop.wait(LONGEST_SECONDS - SHORTEST_SECONDS)
                self._tell(again=True)

    def _tell(self, *, again: bool) -> bool:
        """Emit the latest measurement if it is new, or `again`; whether anything was to be emitted.

        Progress that finds no space on disk is let go: a later one may, and what must not get lost
        fails by itself.
        """
        with self._lock:
            if self._latest is None or not (self._is_new or (again and self._is_alive())):
                return False
            measured_at, progress = self._latest
            self._is_new = False
        with suppress(DiskFull):
            self._emit(_brought_forward(progress, time.monotonic() - measured_at))
        return True

    def _is_alive(self) -> bool:
        patience = max(PATIENCE_SECONDS, PATIENCE_FACTOR * self._longest)
        return time.monotonic() - self._advanced_at <= patience


def _brought_forward(progress: Progress, seconds: float) -> Progress:
    """The measurement as of now; the progress itself is not guessed at."""
    remaining = progress.estimated_time_remaining
    if remaining is not None:
        remaining = max(0.0, remaining - seconds)
    return progress.model_copy(
        update={"estimated_time_remaining": remaining, "at": datetime.now(UTC)}
    )
