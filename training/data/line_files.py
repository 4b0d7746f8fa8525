"""Files of lines that are written once, in order, and then read from any line on.

Beside `NAME.jsonl` lies, where it has more than `STRIDE` lines, `NAME.offsets`: where every `STRIDE`th
begins, as 64-bit integers of little-endian. Where that is missing, the file is read from its beginning.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

__all__ = ["STRIDE", "LineWriter", "read_lines", "remove_lines", "writing_lines"]

STRIDE: Final = 1024
_BLOCK_BYTES: Final = 1024 * 1024
_OFFSET: Final = struct.Struct("<Q")


class LineWriter:
    """Lines that have been given so far, and what is true of them all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._digest = hashlib.sha256()
        self._offsets = bytearray()
        self.count = 0
        self.size_bytes = 0
        self.wanted = True

    def add(self, line: bytes) -> None:
        """Add a line, with its end."""
        if self.count % STRIDE == 0:
            self._offsets += _OFFSET.pack(self.size_bytes)
        self.count += 1
        self.size_bytes += len(line)
        self._block.append(line)
        self._block_bytes += len(line)
        if self._block_bytes >= _BLOCK_BYTES:
            self.flush()

    def discard(self) -> None:
        """Leave no file of it."""
        self.wanted = False

    def flush(self) -> None:
        """Hand over to the file what is held."""
        block = b"".join(self._block)
        self._file.write(block)
        self._digest.update(block)
        self._block.clear()
        self._block_bytes = 0

    def sha256(self) -> str:
        """Of all lines, in hex."""
        self.flush()
        return self._digest.hexdigest()

    def offsets(self) -> bytes:
        """The content of the file that lies beside."""
        return bytes(self._offsets)


@contextmanager
def writing_lines(path: Path) -> Iterator[LineWriter]:
    """A file that is put in place, with its offsets, once the block ends well; else nothing is left.

    Neither is there a file of no line, or of what was discarded.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    beside = _offsets_of(path)
    try:
        with temporary.open("xb") as file:
            writer = LineWriter(file)
            yield writer
            writer.flush()
            file.flush()
            os.fsync(file.fileno())
        if writer.count and writer.wanted:
            if writer.count > STRIDE:
                beside.write_bytes(writer.offsets())
            temporary.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_lines(path: Path, after: int, count: int) -> list[tuple[int, bytes]]:
    """At most `count` lines behind the first `after`, with their numbers from 1."""
    known, offset = _start(_offsets_of(path), after)
    with path.open("rb") as file:
        file.seek(offset)
        lines = islice(file, after - known, after - known + count)
        return list(enumerate(lines, after + 1))


def remove_lines(path: Path) -> None:
    """Delete a file and its offsets, as far as they are there."""
    path.unlink(missing_ok=True)
    _offsets_of(path).unlink(missing_ok=True)


def _start(offsets: Path, after: int) -> tuple[int, int]:
    """The nearest line up to `after` of which it is known where it begins, and where."""
    try:
        with offsets.open("rb") as file:
            known = min(after // STRIDE, file.seek(0, os.SEEK_END) // _OFFSET.size - 1)
            file.seek(known * _OFFSET.size)
            return known * STRIDE, _OFFSET.unpack(file.read(_OFFSET.size))[0]
    except FileNotFoundError:
        return 0, 0


def _offsets_of(path: Path) -> Path:
    return path.with_suffix(".offsets")
