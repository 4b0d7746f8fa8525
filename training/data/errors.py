"""Rows that a run was told not to take."""

from collections.abc import Sequence
from typing import Final

from training.errors import TrainingError
from training.wording import counted

__all__ = ["NAMED_LINES", "RowsTooLong", "numbered"]

NAMED_LINES: Final = 20
"""How many line numbers a sentence lists."""


class RowsTooLong(TrainingError):
    """Some records have more tokens than are allowed, which the run was told to end for."""

    def __init__(self, lines: Sequence[int], longest: int) -> None:
        super().__init__(
            "ROWS_TOO_LONG",
            f"{counted(len(lines), 'records are longer')} than {longest} tokens: {numbered(lines)}.",
            "Raise maxSequenceLength, shorten them, or set onTooLong to DROP or TRUNCATE.",
        )


def numbered(lines: Sequence[int], total: int | None = None) -> str:
    """Line numbers for a sentence, the first of them where there are many: `total`, if these are not
    all."""
    named = ", ".join(str(line) for line in lines[:NAMED_LINES])
    count = len(lines) if total is None else total
    more = count - len(lines[:NAMED_LINES])
    word = "line" if count == 1 else "lines"
    return f"{word} {named}" + (f" and {more} more" if more > 0 else "")
