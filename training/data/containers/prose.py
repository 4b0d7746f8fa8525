"""Rows of plain text, cut as its owner wants it, and of source code, a file a row."""

from enum import StrEnum
from typing import Final

from training.data.containers.limits import Limits
from training.data.containers.rows import RawRow, Rows, refused
from training.data.containers.source import Line, Source, lines
from training.data.records import Rejected
from training.errors import SourceUnreadable

__all__ = ["PASSAGE_BYTES", "Division", "not_text", "refuse_division", "source_rows", "text_rows"]

PASSAGE_BYTES: Final = 3000
"""A passage's bytes at most. A token has three to four of them in most scripts, so that a
passage fits the length to which a run cuts its rows unless it is told otherwise."""


class Division(StrEnum):
    """How a plain text is cut into records. A paragraph ends at a blank line."""

    PASSAGES = "PASSAGES"
    """As many whole paragraphs as `PASSAGE_BYTES` hold; a longer one is cut between lines."""
    PARAGRAPHS = "PARAGRAPHS"
    LINES = "LINES"
    WHOLE = "WHOLE"
    """The file is one record."""


def text_rows(source: Source, limits: Limits, division: Division, *, first: int = 1) -> Rows:
    """Each record as `{"text"}`, by the line on which it begins, counted from `first`.

    Line ends become newlines, and blank lines around a record are left out. What is not UTF-8 or
    too long costs the record that it lies in.
    """
    record = _Record(limits.row_bytes)
    for line in lines(source, limits):
        while record.is_full(line, division):
            yield from record.text(up_to_paragraph=division is Division.PASSAGES)
        record.add(first - 1 + line.number, line)
    yield from record.text()
    if source.broken:
        yield refused(first + source.line, *source.broken)


def source_rows(source: Source, limits: Limits, *, language: str | None, first: int = 1) -> Rows:
    """The whole file as one row `{"code", "language"}`, with newlines for any line ends."""
    record = _Record(limits.row_bytes)
    for line in lines(source, limits):
        record.add(first - 1 + line.number, line)
    if source.broken:
        yield refused(first + source.line, *source.broken)
        return
    for row in record.text():
        if isinstance(row, RawRow) and isinstance(row.value, dict):
            yield RawRow(row.line, {"code": f"{row.value['text']}\n", "language": language})
        else:
            yield row


def refuse_division(division: Division, why: str, *, whole_files: bool = False) -> None:
    """`SourceUnreadable` where another cut was asked for than that of what is no plain text.

    `whole_files` says whether each file is a record, as WHOLE asks for.
    """
    if division is Division.PASSAGES or (whole_files and division is Division.WHOLE):
        return
    raise SourceUnreadable(
        "DIVISION_WITHOUT_EFFECT",
        f"the division {division} cuts plain text alone, and {why}",
        "Leave division out.",
    )


def not_text(head: bytes) -> str | None:
    """Why these first bytes of a file cannot be text in UTF-8; None where they can."""
    if b"\0" in head:
        return "it is not text"
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.end < len(head) or error.reason != "unexpected end of data":
            return "it is not text in UTF-8"
    return None


class _Record:
    """The lines of a record to be, within the limit of a row."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clear()

    def _clear(self) -> None:
        self._lines: list[tuple[int, bytes]] = []
        self._paragraph = 0
        self._size = 0
        self._too_large = False

    def is_full(self, line: Line, division: Division) -> bool:
        """Whether there is a record, and it ends before this line."""
        if not self._lines:
            return False
        match division:
            case Division.LINES:
                return True
            case Division.PARAGRAPHS:
                return not line.content.strip()
            case Division.PASSAGES:
                return self._size + len(line.content) > PASSAGE_BYTES
            case Division.WHOLE:
                return False

    def add(self, number: int, line: Line) -> None:
        """Take a line, unless it is a blank one at the beginning."""
        is_blank = not line.content.strip()
        if is_blank and not self._lines:
            return
        self._size += len(line.content) + 1
        self._too_large |= line.too_long or self._size > self._limit + 1
        if not self._lines or not self._too_large:
            self._lines.append((number, line.content))
        if is_blank:
            self._paragraph = len(self._lines)

    def text(self, *, up_to_paragraph: bool = False) -> Rows:
        """The record, if there is any. What follows its last whole paragraph begins the next."""
        if not self._lines:
            return
        end = self._paragraph if up_to_paragraph and self._paragraph else len(self._lines)
        taken, rest = self._lines[:end], self._lines[end:]
        too_large = self._too_large
        self._clear()
        number, first = taken[0]
        content = b"\n".join(line for _, line in taken).rstrip()
        if too_large:
            message = f"The record has more than {self._limit:,} bytes."
            yield refused(number, "ROW_TOO_LARGE", message, first)
        else:
            yield _decoded(number, content)
        for number, line in rest:
            self.add(number, Line(number, line, too_long=False))


def _decoded(number: int, content: bytes) -> RawRow | Rejected:
    try:
        return RawRow(number, {"text": content.decode()})
    except UnicodeDecodeError as error:
        lines_on = content.count(b"\n", 0, error.start)
        message = f"A byte of line {number + lines_on} is not UTF-8."
        return refused(number, "NOT_UTF8", message, content)
