"""What becomes of rows that are longer than allowed, and of those left without a token to learn."""

from typing import NamedTuple

import numpy as np

from training.config import OnTooLong
from training.data.errors import RowsTooLong
from training.data.selection import Rows
from training.data.token_file import Integers, TokenTable

__all__ = ["Fitting", "fitting"]


class Fitting(NamedTuple):
    """The rows that can be trained on, and the lines of the records that lost something."""

    rows: Rows
    truncated: Integers
    """Cut at the end to fit, and trained on what is left."""
    too_long: Integers
    """Left out for their length."""
    without_loss: Integers
    """Left out because no token that is left of them bears loss."""


def fitting(
    table: TokenTable, chosen: Integers | None, *, longest: int, on_too_long: OnTooLong
) -> Fitting:
    """The chosen rows of a table, or all of them, none longer than `longest` tokens.

    Raises `RowsTooLong` where some are and none may be.
    """
    indices = np.arange(len(table)) if chosen is None else chosen
    lines, tokens = table.lines[indices], table.tokens[indices]
    trained_tokens = table.trained_tokens(longest)[indices]
    exceeds = tokens > longest
    if on_too_long is OnTooLong.ERROR and exceeds.any():
        raise RowsTooLong(lines[exceeds].tolist(), longest)
    too_long = exceeds if on_too_long is OnTooLong.DROP else np.zeros_like(exceeds)
    without_loss = ~too_long & (trained_tokens == 0)
    kept = ~too_long & ~without_loss
    return Fitting(
        rows=Rows(
            table,
            indices[kept],
            tokens=np.minimum(tokens[kept], longest),
            trained_tokens=trained_tokens[kept],
        ),
        truncated=lines[exceeds & kept],
        too_long=lines[too_long],
        without_loss=lines[without_loss],
    )
