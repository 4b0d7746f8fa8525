"""What reading gives: rows with their numbers, and what could not be read, with its reason."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from training.data.fields import shortened
from training.data.records import Rejected
from training.data.strict_json import loads
from training.errors import RecordError

__all__ = ["Place", "Places", "RawRow", "Rows", "json_row", "of_element", "refused"]


class RawRow(NamedTuple):
    """A row as the file has it."""

    line: int
    """Where it begins, from 1: the line of a text file, the row of a Parquet file."""
    value: object
    element: int | None = None
    """Its place in a JSON array, from 1: all its elements may be on one line."""


Rows: TypeAlias = Iterator[RawRow | Rejected]


class Place(NamedTuple):
    """A line of one file among several."""

    path: str
    line: int


class Places:
    """Where lines lie that are numbered through several files, as far as those were begun."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._paths: list[str] = []

    def begin(self, path: str, line: int) -> None:
        """A file's first line has this number, which is above all earlier ones."""
        self._begins.append(line)
        self._paths.append(path)

    def find(self, line: int) -> Place | None:
        """The file's path and the line within it; None where there is but one file."""
        index = bisect_right(self._begins, line) - 1
        return Place(self._paths[index], line - self._begins[index] + 1) if index >= 0 else None

    def named(self, rejected: Rejected) -> Rejected:
        """The same, its message preceded by the place where there are several files."""
        place = self.find(rejected.line)
        if place is None:
            return rejected
        message = f"{place.path}, line {place.line}: {rejected.message}"
        return rejected.model_copy(update={"message": message})


def json_row(line: int, content: bytes, *, element: int | None = None) -> RawRow | Rejected:
    """The row that these bytes of JSON hold."""
    try:
        return RawRow(line, loads(content.decode()), element)
    except UnicodeDecodeError as error:
        code, message = "NOT_UTF8", f"Byte {error.start + 1} is not UTF-8."
    except RecordError as error:
        code, message = error.code, error.message
    return refused(line, code, of_element(element, message), content)


def of_element(element: int | None, message: str) -> str:
    """What is said of a row, preceded by its place in an array where it is in one."""
    return message if element is None else f"Element {element}: {message}"


def refused(line: int, code: str, message: str, content: bytes = b"") -> Rejected:
    """A row that could not be read, with its beginning."""
    head = content[:1000].decode(errors="backslashreplace")
    return Rejected(line=line, code=code, message=message, excerpt=shortened(head))
