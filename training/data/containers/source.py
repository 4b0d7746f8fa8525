"""A byte stream as text formats want it: decompressed, within bounds, and told when it broke.

What breaks midway (a truncated gzip, a zip bomb) ends the stream and is kept in `Source.broken`,
so that every row that was read before it stays read.
"""

from __future__ import annotations  # a buffer's type has a name for type checkers alone

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Protocol

from training.data.containers.limits import CHUNK_BYTES, Limits
from training.errors import SourceUnreadable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Break", "Compression", "Line", "Source", "compression_of", "lines", "open_source"]

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BOM: Final = b"\xef\xbb\xbf"

_WINDOW_LOG: Final = 25
"""32 MiB: zstd's own levels need 8, only `--ultra` and `--long` more."""

_FOREIGN: Final = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"ARROW1": "an Arrow file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"SQLite format 3": "a SQLite database",
}


class Compression(StrEnum):
    """What a text file may be packed by."""

    GZIP = "GZIP"
    ZSTD = "ZSTD"


def compression_of(head: bytes) -> Compression | None:
    """What a file that begins so is compressed by; None where it is not."""
    if head.startswith(_GZIP):
        return Compression.GZIP
    return Compression.ZSTD if head.startswith(_ZSTD) else None


class Break(NamedTuple):
    """Why a stream ended before its end."""

    code: str
    message: str


class Line(NamedTuple):
    """A line without its end; `content` is cut, and `too_long`, beyond the limit."""

    number: int
    content: bytes
    too_long: bool


class Source:
    """Decompressed bytes. The caller keeps what it opened, and closes it."""

    def __init__(self, stream: io.BufferedReader, inflating: _Inflating | None) -> None:
        self.stream = stream
        self._inflating = inflating

    @property
    def broken(self) -> Break | None:
        """Why the stream ended early; None while it did not."""
        return self._inflating.broken if self._inflating else None


def open_source(file: BinaryIO, limits: Limits) -> Source:
    """The bytes of a file that is at its beginning, whether they are compressed or not.

    `SourceUnreadable` for what is neither text nor compressed by gzip or zstd.
    """
    plain: io.BufferedReader = io.BufferedReader(_Counting(file), CHUNK_BYTES)
    head = plain.peek(16)
    inflating = None
    if compression := compression_of(head):
        inflating = _Inflating(plain, zipped=compression is Compression.GZIP, limits=limits)
        plain = io.BufferedReader(inflating, CHUNK_BYTES)
        head = plain.peek(16)
        if compression_of(head):
            raise SourceUnreadable("COMPRESSED_TWICE", "it is compressed twice", _UNCOMPRESS)
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise SourceUnreadable("CONTAINER_UNKNOWN", f"it is {name}", _CONTAINERS)
    if head.startswith(_BOM):
        plain.read(len(_BOM))
    return Source(plain, inflating)


_CONTAINERS: Final = "Send JSONL, JSON or CSV in UTF-8, plain or by gzip or zstd, or Parquet."
_UNCOMPRESS: Final = "Send it compressed once, or as it is."


def lines(source: Source, limits: Limits) -> Iterator[Line]:
    """The lines of a text, each held whole only within the limit.

    A line that the stream's break left without its end is not given.
    """
    number = 0
    while content := source.stream.readline(limits.row_bytes + 2):
        number += 1
        ended = content.endswith(b"\n")
        too_long = len(content.rstrip(b"\r\n")) > limits.row_bytes
        if too_long and not ended:
            _skip_line(source.stream)
        if source.broken and not ended and not source.stream.peek(1):
            return
        yield Line(number, content.rstrip(b"\r\n"), too_long)


def _skip_line(stream: io.BufferedReader) -> None:
    while rest := stream.readline(CHUNK_BYTES):
        if rest.endswith(b"\n"):
            return


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Unpacking(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _Counting(io.RawIOBase):
    """Reads through to a file that stays open when this is thrown away."""

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        content = self._file.read(len(view))
        view[: len(content)] = content
        self.count += len(content)
        return len(content)


class _Inflating(io.RawIOBase):
    """Decompresses, until the end, the first damage, or too much from too little."""

    def __init__(self, packed: io.BufferedReader, *, zipped: bool, limits: Limits) -> None:
        self._packed = _Counting(packed)
        buffered = io.BufferedReader(self._packed, 16 * 1024)
        self._file: _Unpacking = (
            gzip.GzipFile(fileobj=buffered)
            if zipped
            else zstd.ZstdFile(
                buffered, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
            )
        )
        self._limits = limits
        self._count = 0
        self.broken: Break | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if self.broken:
            return 0
        try:
            # read1 gives what was unpacked before damage, which read would throw away
            content = self._file.read1(min(len(view), CHUNK_BYTES))
        except EOFError:
            self.broken = Break("ENDS_EARLY", "The compressed stream ends before its end.")
            return 0
        except (gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
            self.broken = Break("COMPRESSION_DAMAGED", f"The compression is damaged: {error}.")
            return 0
        self._count += len(content)
        ratio = self._count / max(1, self._packed.count)
        if self._count > self._limits.expansion_from_bytes and ratio > self._limits.expansion:
            self.broken = Break(
                "EXPANDS_TOO_MUCH",
                f"{self._packed.count:,} compressed bytes became {self._count:,}; "
                f"at most {self._limits.expansion} for each are read.",
            )
            return 0
        view[: len(content)] = content
        return len(content)
