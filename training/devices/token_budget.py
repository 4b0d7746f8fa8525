"""The tokens held at once, in a file of the job's folder, where they outlive a child that is killed.

A child that the kernel ends for lack of memory can neither halve what it holds nor say so. It has noted
how much that is; its worker, which sees it gone, bids the next child hold half. Neither writes while
the other may. A worker may be killed with its child: then the next child, on the same machine, sees by
the kernel's count that one was. No torch here: the worker has none.
"""

from enum import Enum, auto
from pathlib import Path
from typing import Final, Self

from training.config import Frozen
from training.devices.process import boot_id, kernel_kills
from training.files import write_whole

_FILE: Final = "token-budget.json"
_BOTH_KILLED: Final = "The process before died with its worker, after the kernel had ended a process for lack of memory."


class Holder(Frozen):
    """Where a child began to hold what it does."""

    boot: str
    """The machine, since it was last started."""
    kernel_kills: int
    """How many processes the kernel had ended for lack of memory."""

    @classmethod
    def here(cls) -> Self | None:
        """This machine, now; None where its kernel does not count."""
        kills = kernel_kills()
        return None if kills is None else cls(boot=boot_id(), kernel_kills=kills)

    def has_seen_a_kill(self) -> bool:
        """Whether the kernel has ended a process of this machine since."""
        now = Holder.here()
        return now is not None and now.boot == self.boot and now.kernel_kills > self.kernel_kills


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
    holder: Holder | None = None
    """Of the child that said so, until it has left by itself."""


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
        now = Note(tokens=tokens, is_least=is_least, limit=limit, holder=Holder.here())
        if now != note:
            self._write(now)

    def let_go(self) -> None:
        """Note that the child leaves, and will not be found killed. Raises `DiskFull`."""
        note = self.read()
        if note is not None and note.holder is not None:
            self._write(note.model_copy(update={"holder": None}))

    def succeed(self) -> Note | None:
        """What was noted last, for a child that starts: with a bid to hold half, where the one
        before it was killed, likely for lack of memory, and with it the worker that would have bid.
        Raises `DiskFull`."""
        note = self.read()
        if note is not None and note.holder is not None and note.holder.has_seen_a_kill():
            self.bid_half(_BOTH_KILLED)
            return self.read()
        return note

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
