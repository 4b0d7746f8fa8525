"""How many tokens the processes of a run may hold at once, since memory ran out with more.

A process whose memory runs out amid the passes that all make together cannot leave them alone. It asks
for a lower limit and ends; its launcher ends the others, notes the limit (`training.devices.token_budget`), and
starts all of them again.
"""

from pathlib import Path

from training.config import Frozen
from training.devices.ranks import ask_file
from training.events import WarningRaised
from training.files import write_whole


class TokenLimit(Frozen):
    """A bound on what the processes of a run hold at once, and what called for it."""

    tokens: int
    """That one of them may hold."""
    reason: str
    """How memory ran out with more: a sentence."""


def ask_for(limit: TokenLimit, job_dir: Path, *, rank: int) -> None:
    """Ask the launcher to start all processes again with a lower limit."""
    write_whole(ask_file(job_dir, rank), limit.model_dump_json().encode())


def asked_for(job_dir: Path, size: int) -> TokenLimit | None:
    """The lowest limit that a process asked for."""
    paths = [ask_file(job_dir, rank) for rank in range(size)]
    asked = [_read(path) for path in paths if path.exists()]
    return min(asked, key=lambda each: each.tokens, default=None)


def halved(reason: str, tokens: int) -> WarningRaised:
    """What is said where the run goes on with half as many tokens at once."""
    return _told(f"{reason} From here on {tokens} tokens are held at once, half as many as before")


def lowered(limit: TokenLimit) -> WarningRaised:
    """What is said where all processes start again."""
    return _told(
        f"{limit.reason} All processes start again, go on from the newest checkpoint, and hold "
        f"{limit.tokens} tokens at once"
    )


def _told(message: str) -> WarningRaised:
    return WarningRaised(
        code="TOKEN_BUDGET_HALVED",
        message=f"{message}; each step still sees the same examples.",
        remedy="Nothing needs to be done. A smaller maxSequenceLength would need less memory.",
    )


def _read(path: Path) -> TokenLimit:
    return TokenLimit.model_validate_json(path.read_bytes())
