"""Files of one JSON value a line, read line by line however long the file is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from training.data.fields import EXCERPT_CHARACTERS
from training.data.records import Rejected

__all__ = ["MAX_LINE_BYTES", "rows"]

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_MARK: Final = b"\xef\xbb\xbf"
"""What some editors write at the beginning of UTF-8."""


def rows(path: Path) -> Iterator[tuple[int, object]]:
    """The values with their line numbers, from 1; blank lines are passed over.

    A line that holds no value gives a `Rejected` in its place.
    """
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            file.seek(0)
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                _pass_over(file, line)
                yield number, _rejected(number, line, "LINE_TOO_LONG", _TOO_LONG)
            elif line.strip():
                yield number, _parsed(number, line)


_TOO_LONG: Final = f"The line has more than {MAX_LINE_BYTES} bytes."


def _parsed(number: int, line: bytes) -> object:
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError:
        return _rejected(number, line, "NOT_UTF8", "The line is no UTF-8 text.")
    except json.JSONDecodeError as error:
        reason = f"The line is no JSON: {error.msg} at column {error.colno}."
        return _rejected(number, line, "NOT_JSON", reason)
    except ValueError:  # Python's own limit to the digits of an integer
        return _rejected(
            number, line, "NUMBER_TOO_LONG", "The line has a number of too many digits."
        )
    except RecursionError:
        return _rejected(number, line, "NESTED_TOO_DEEP", "The line is nested too deep.")


def _pass_over(file: BinaryIO, line: bytes) -> None:
    """Read on to the end of a line of which this is the beginning."""
    while line and not line.endswith(b"\n"):
        line = file.readline(MAX_LINE_BYTES)


def _rejected(number: int, line: bytes, code: str, message: str) -> Rejected:
    shown = line[:EXCERPT_CHARACTERS].decode(errors="backslashreplace").replace("\0", "\\0")
    excerpt = shown.strip()[:EXCERPT_CHARACTERS]
    return Rejected(line=number, code=code, message=message, excerpt=excerpt)
