"""Numbers in sentences."""

import re
from typing import Final

__all__ = ["counted"]

_OF_ONE: Final = {
    "records": "record",
    "rows": "row",
    "groups": "group",
    "have": "has",
    "are": "is",
    "were": "was",
    "their": "its",
}
_OF_MANY: Final = re.compile(rf"\b({'|'.join(_OF_ONE)})\b")


def counted(count: int, words: str) -> str:
    """The count and what it counts, in words that are written for many: `1 record is` for `records are`."""
    if count == 1:
        words = _OF_MANY.sub(lambda found: _OF_ONE[found[0]], words)
    return f"{count} {words}"
