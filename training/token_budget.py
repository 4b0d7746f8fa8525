"""The tokens held at once, in a file of the job's folder, where they outlive a child that is killed.

A child that the kernel ends for lack of memory can neither halve what it holds nor say so. It has noted
how much that is; its worker, which sees it gone, bids the next child hold half. Neither writes while
the other may. No torch here: the worker has none.
"""

from enum import Enum, auto
from pathlib import Path
from typing import Final

from training.config import Frozen
from training.files import write_whole

_FILE: Final = "token-budget.json"


class Note(Frozen):
    """What is known of a job's token budget."""

    tokens: int
    """Held at once by the child that last said so."""
    is_least: bool
    """Whether it cannot work with half of them."""
    limit: int | None = None
    """What is to be held at most, from the next start on."""
    reason: str | None = None
    """Why it did, a sentence, until a child has taken the bid up."""


class Bid(Enum):
    """What came of bidding the next child hold half as much."""

    HALF = auto()
    """It will."""
    LEAST = auto()
    """The last one held as little as it could."""
    UNKNOWN = auto()
    """The last one ended before it had said how much it held."""


class TokenBudget:
    """The note in a job's folder."""

    def __init__(self, job_dir: Path) -> None:
        self._path = job_dir / _FILE

    def read(self) -> Note | None:
        """What was noted last; None where no child of the job has come so far."""
        try:
            return Note.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def hold(self, tokens: int, *, is_least: bool) -> None:
        """Note what this process, a child, holds at once from here on. Raises `DiskFull`."""
        note = self.read()
        limit = None if note is None else note.limit
        now = Note(tokens=tokens, is_least=is_least, limit=limit)
        if now != note:
            self._write(now)

    def bid_half(self, reason: str) -> Bid:
        """Bid the next child hold half as many tokens as the last one did. Raises `DiskFull`."""
        note = self.read()
        if note is None or note.reason is not None:
            return Bid.UNKNOWN
        if note.is_least:
            return Bid.LEAST
        self._write(note.model_copy(update={"limit": note.tokens // 2, "reason": reason}))
        return Bid.HALF

    def lower(self, limit: int) -> None:
        """Let those that start from now on hold at most so many. Raises `DiskFull`."""
        note = self.read() or Note(tokens=limit, is_least=False)
        self._write(note.model_copy(update={"limit": limit}))

    def _write(self, note: Note) -> None:
        write_whole(self._path, note.model_dump_json().encode())
