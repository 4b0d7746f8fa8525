"""Rows of JSONL: one JSON value a line; blank lines are passed over."""

from training.data.containers.limits import Limits
from training.data.containers.rows import Rows, json_row, refused
from training.data.containers.source import Source, lines

__all__ = ["jsonl_rows"]


def jsonl_rows(source: Source, limits: Limits) -> Rows:
    """Each line's value, or why there is none; the lines after a bad one are read on."""
    number = 0
    for number, content, too_long in lines(source, limits):
        if too_long:
            message = f"The line has more than {limits.row_bytes:,} bytes."
            yield refused(number, "ROW_TOO_LARGE", message, content)
        elif content.strip():
            yield json_row(number, content)
    if source.broken:
        yield refused(number + 1, *source.broken)
