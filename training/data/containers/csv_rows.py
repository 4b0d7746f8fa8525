"""Rows of CSV: the first line names the columns; the delimiter is the one that splits it best."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import Final

from training.data.containers.limits import Limits
from training.data.containers.rows import RawRow, Rows, refused
from training.data.containers.source import Line, Source, lines
from training.data.records import Rejected
from training.errors import SourceUnreadable

__all__ = ["csv_rows"]

_DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLED_LINES: Final = 50
_MAX_COLUMNS: Final = 1000
_MAX_NAME: Final = 200
_LINE_BYTES: Final = 128
"""What holding a line costs beside its content; a row may have millions of empty ones."""


def csv_rows(source: Source, limits: Limits) -> Rows:
    """Each row as its fields by column, or why there is none; all fields are text.

    `SourceUnreadable` where the first line is none that could name columns.
    """
    # the module's own limit holds for the whole process; ours is the row's, which is checked here
    csv.field_size_limit(max(csv.field_size_limit(), 2 * limits.row_bytes))
    pending = _Pending(lines(source, limits), limits)
    delimiter, header = _layout(pending.sample())
    first = True
    for found in _records(pending, delimiter):
        if isinstance(found, Rejected):
            yield found
        elif first:
            first = False  # the header, which was read
        else:
            yield _row(found, header)
    if source.broken:
        yield refused(pending.number + 1, *source.broken)


class _Fields:
    """One record as the parser gives it."""

    def __init__(self, line: int, values: list[str]) -> None:
        self.line = line
        self.values = values


def _layout(sample: list[str]) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns."""
    headers = {delimiter: _first_record(sample, delimiter) for delimiter in _DELIMITERS}
    usable = {key: names for key, names in headers.items() if _is_header(names)}
    if not usable:
        raise SourceUnreadable(
            "CONTAINER_UNKNOWN",
            "it is neither JSON nor Parquet, and its first line names no columns",
            "Send JSONL, JSON, Parquet, or CSV with the columns' names in the first line.",
        )
    delimiter = max(usable, key=lambda key: len(usable[key]))
    return delimiter, usable[delimiter]


def _first_record(sample: list[str], delimiter: str) -> list[str]:
    reader = csv.reader((f"{line}\n" for line in sample), delimiter=delimiter, strict=True)
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error:
        return []


def _is_header(names: list[str]) -> bool:
    named = all(0 < len(name) <= _MAX_NAME and name.isprintable() for name in names)
    return named and 0 < len(names) == len(set(names)) <= _MAX_COLUMNS


def _row(fields: _Fields, header: list[str]) -> RawRow | Rejected:
    if len(fields.values) == len(header):
        return RawRow(fields.line, dict(zip(header, fields.values, strict=True)))
    message = f"The row has {len(fields.values)} fields where the first line names {len(header)}."
    return refused(fields.line, "FIELD_COUNT", message, ",".join(fields.values)[:1000].encode())


def _records(pending: "_Pending", delimiter: str) -> Iterator[_Fields | Rejected]:
    """Records of one or more lines. Of a bad one the first line is refused, and the others are
    read again, so that a quote that is never closed costs one row."""
    while (number := pending.next_number()) is not None:
        reader = csv.reader(pending.record(), delimiter=delimiter, strict=True)
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield pending.refuse_first("MALFORMED_CSV", f"This is not CSV: {error}.")
        except _Unusable as unusable:
            yield pending.refuse_first(unusable.code, unusable.message)
        else:
            if values:  # a blank line has none
                yield _Fields(number, values)
            pending.accept()


class _Unusable(Exception):
    """A line that the parser must not be given."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class _Pending:
    """Lines that are yet to be parsed: those of a failed record first, then the file's."""

    def __init__(self, source: Iterator[Line], limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self.number = 0

    def sample(self) -> list[str]:
        """The first lines, which stay to be parsed."""
        for line in self._source:
            self._again.append(line)
            if len(self._again) == _SAMPLED_LINES:
                break
        return [line.content.decode(errors="replace") for line in self._again]

    def next_number(self) -> int | None:
        """The number of the next line; None at the end."""
        if not self._again:
            self._again.extend(line for line in [next(self._source, None)] if line)
        return self._again[0].number if self._again else None

    def record(self) -> Iterator[str]:
        """Lines for the parser, which stops asking at the end of a record."""
        size = 0
        while self.next_number() is not None:
            line = self._again.popleft()
            self._taken.append(line)
            self.number = max(self.number, line.number)
            size += len(line.content) + _LINE_BYTES
            if line.too_long or size > self._limits.row_bytes:
                message = f"The row has more than {self._limits.row_bytes:,} bytes."
                raise _Unusable("ROW_TOO_LARGE", message)
            try:
                yield line.content.decode() + "\n"
            except UnicodeDecodeError as error:
                message = f"Byte {error.start + 1} of line {line.number} is not UTF-8."
                raise _Unusable("NOT_UTF8", message) from None

    def refuse_first(self, code: str, message: str) -> Rejected:
        """Give back all lines of the record but its first."""
        first, *others = self._taken
        self._again.extendleft(reversed(others))
        self._taken.clear()
        return refused(first.number, code, message, first.content)

    def accept(self) -> None:
        """The record was whole."""
        self._taken.clear()
