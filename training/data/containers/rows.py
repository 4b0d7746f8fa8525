"""What reading gives: rows with their numbers, and what could not be read, with its reason."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from training.data.fields import shortened
from training.data.records import Rejected
from training.data.strict_json import loads
from training.errors import RecordError

__all__ = ["RawRow", "Rows", "json_row", "refused"]


class RawRow(NamedTuple):
    """A row as the file has it."""

    line: int
    """Where it begins, from 1: the line of a text file, the row of a Parquet file."""
    value: object


Rows: TypeAlias = Iterator[RawRow | Rejected]


def json_row(line: int, content: bytes) -> RawRow | Rejected:
    """The row that these bytes of JSON hold."""
    try:
        return RawRow(line, loads(content.decode()))
    except UnicodeDecodeError as error:
        return refused(line, "NOT_UTF8", f"Byte {error.start + 1} is not UTF-8.", content)
    except RecordError as error:
        return refused(line, error.code, error.message, content)


def refused(line: int, code: str, message: str, content: bytes = b"") -> Rejected:
    """A row that could not be read, with its beginning."""
    head = content[:1000].decode(errors="backslashreplace")
    return Rejected(line=line, code=code, message=message, excerpt=shortened(head))
