"""Rows of JSON: the elements of one array, which is the file or lies in the object that is.

The file is cut into elements by its brackets alone, a chunk at a time, and each element is then
parsed for itself. So one bad element costs nothing but itself, which a streaming parser, whose
state it would end, cannot offer.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from training.data.containers.limits import CHUNK_BYTES, Limits
from training.data.containers.rows import Rows, json_row, of_element, refused
from training.data.containers.source import Source

__all__ = ["array_rows"]

_OUTSIDE: Final = re.compile(rb'(?>[^"\[\]{}]++|"(?>[^"\\]++|\\.)*+")*+', re.DOTALL)
"""Up to a bracket, or to a string that this chunk does not end."""
_INSIDE: Final = re.compile(rb'(?>[^"\\]++|\\.)*+', re.DOTALL)
"""The rest of a string, up to its quote."""
_SCALAR: Final = re.compile(rb"[^\s,\]}\[{\"]*+")
_SPACE: Final = re.compile(rb"\s*+")


def array_rows(source: Source, limits: Limits) -> Rows:
    """Each element of the array, or why there is none, by the line on which it begins.

    A bracket or quote that is missing moves the borders of all that follows; what is then no
    element is refused, up to the next comma.
    """
    cursor = _Cursor(source, limits.row_bytes)
    if cursor.next_byte() == b"{":
        yield from _rows_of_object(cursor, limits)
    else:
        cursor.skip_byte()
        yield from _elements(cursor, limits)
    trailing = cursor.next_byte()
    if source.broken:
        yield refused(cursor.line, *source.broken)
    elif trailing:
        message = "More follows after the end; write one value on each line (JSONL) or one array."
        yield refused(cursor.line, "TRAILING_CONTENT", message)


def _rows_of_object(cursor: "_Cursor", limits: Limits) -> Rows:
    """The rows of the first array that the object's keys hold; a second one is refused."""
    cursor.skip_byte()
    rows_of = None
    while (mark := cursor.next_byte()) not in (b"}", b""):
        if mark in b",:]":
            cursor.skip_byte()
            continue
        key = cursor.value()
        if cursor.next_byte() == b":":
            cursor.skip_byte()
        if cursor.next_byte() == b"[":
            name = key.content.decode(errors="backslashreplace")[:40].strip('"')
            if rows_of is None:
                rows_of = name
                cursor.skip_byte()
                yield from _elements(cursor, limits)
                continue
            message = f"The rows are those of {rows_of}; those of {name} were not read."
            yield refused(cursor.line, "SECOND_ARRAY", message)
        cursor.value()
    if rows_of is None and not cursor.broken:
        yield refused(cursor.line, "NO_ARRAY", "The object holds no array of rows.")
    cursor.skip_byte()


def _elements(cursor: "_Cursor", limits: Limits) -> Rows:
    """The elements up to the array's end, which is passed."""
    number = 0
    while (mark := cursor.next_byte()) != b"]":
        if not mark:
            if not cursor.broken:
                yield refused(cursor.line, "ENDS_EARLY", "The array is not closed.")
            return
        if mark == b",":
            cursor.skip_byte()
            continue
        line, number = cursor.line, number + 1
        element = cursor.value()
        if element.too_large:
            message = f"The element has more than {limits.row_bytes:,} bytes."
            yield refused(line, "ROW_TOO_LARGE", of_element(number, message), element.content)
        elif element.closed:
            yield json_row(line, element.content, element=number)
        elif not cursor.broken:
            message = "The element is not closed, up to the end of the file."
            yield refused(line, "ENDS_EARLY", of_element(number, message), element.content)
            return
    cursor.skip_byte()


class _Value(NamedTuple):
    content: bytes
    too_large: bool
    closed: bool


class _Cursor:
    """A place in a stream of JSON, of which one chunk is held."""

    def __init__(self, source: Source, row_bytes: int) -> None:
        self._source = source
        self._row_bytes = row_bytes
        self._chunk = b""
        self._position = 0
        self.line = 1

    @property
    def broken(self) -> bool:
        return self._source.broken is not None

    def next_byte(self) -> bytes:
        """The next byte that is no blank, which is not passed; nothing at the end."""
        while self._more():
            self._pass(_SPACE.match(self._chunk, self._position))
            if self._position < len(self._chunk):
                return self._chunk[self._position : self._position + 1]
        return b""

    def skip_byte(self) -> None:
        """Pass the byte that `next_byte` gave."""
        self._position = min(self._position + 1, len(self._chunk))

    def value(self) -> _Value:
        """The value that begins here, passed; its first bytes alone where it is too large.

        What can begin no value is passed as one, up to the next comma or bracket.
        """
        pieces: list[bytes] = []
        size = 0
        ended = False
        for piece, ends in self._pieces():
            ended = ends
            if size <= self._row_bytes:
                pieces.append(piece)
            size += len(piece)
        return _Value(b"".join(pieces), size > self._row_bytes, ended)

    def _pieces(self) -> Iterator[tuple[bytes, bool]]:
        """The value's bytes in order, each with whether it ends the value."""
        first = self.next_byte()
        if first not in (b"{", b"[", b'"'):
            yield from self._scalar()
            return
        start, depth, closed = self._position, 0, False
        inside = first == b'"'
        if inside:
            self.skip_byte()
        while not closed:
            if self._position >= len(self._chunk):
                yield self._chunk[start:], False
                if not self._more():
                    return
                start = 0
            self._pass((_INSIDE if inside else _OUTSIDE).match(self._chunk, self._position))
            mark = self._chunk[self._position : self._position + 1]
            if mark == b"\\":  # the chunk ends between it and what it escapes
                yield self._chunk[start : self._position], False
                self._join_next()
                start = 0
                continue
            inside ^= mark == b'"'
            depth += (mark in (b"{", b"[")) - (mark in (b"}", b"]"))
            self.skip_byte()
            closed = depth <= 0 and not inside and bool(mark)
        yield self._chunk[start : self._position], True

    def _scalar(self) -> Iterator[tuple[bytes, bool]]:
        ended = False
        while not ended and self._more():
            start = self._position
            self._pass(_SCALAR.match(self._chunk, start))
            if start == self._position:  # a bracket or quote where none can be
                self.skip_byte()
            ended = self._position < len(self._chunk)
            yield self._chunk[start : self._position], ended

    def _pass(self, found: "re.Match[bytes] | None") -> None:
        """Go to the end of what was found."""
        end = found.end() if found else self._position
        self.line += self._chunk.count(b"\n", self._position, end)
        self._position = end

    def _more(self) -> bool:
        """Whether there is a byte at the position, read now if need be."""
        if self._position >= len(self._chunk):
            self._chunk = self._source.stream.read(CHUNK_BYTES)
            self._position = 0
        return bool(self._chunk)

    def _join_next(self) -> None:
        """Put the next chunk behind what is left of this one, which ends where there is none."""
        following = self._source.stream.read(CHUNK_BYTES)
        self._chunk = self._chunk[self._position :] + following if following else b""
        self._position = 0
