"""How far a child is, told in a file."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Teller"]

TELL_SECONDS: Final = 0.25
LOOK_ROWS: Final = 64
"""The clock is looked at this often."""


class Teller:
    """Tells, four times a second, how much is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = time.monotonic()
        self._rows = 0
        self.percent = 0.0
        """What was told last."""

    def tell(self, percent: float) -> None:
        """Write it down where it is time."""
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self.percent = percent
            partial = self._path.with_name(".progress.partial")
            with suppress(OSError):  # a full disk fails the records, not what is told of them
                partial.write_text(f"{percent:.2f}\n")
                partial.replace(self._path)

    def came(self, percent: Callable[[], float]) -> None:
        """Count a row, and tell where it is time."""
        self._rows += 1
        if self._rows % LOOK_ROWS == 0:
            self.tell(percent())
