"""The entries of a zip archive, as its directory lists them."""

from __future__ import annotations  # a buffer's type has a name for type checkers alone

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from training.data.containers.archive import Archive, Entry
from training.data.containers.limits import CHUNK_BYTES, Limits
from training.data.containers.source import Break, Source
from training.errors import SourceUnreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["ZIP_MAGIC", "zip_archive"]

ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""Of an archive with files and of one without."""

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others unpack without a bound on what they hold."""
_ENCRYPTED: Final = 0x1
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)
"""What `zipfile` raises at hostile input; a ValueError also where a name cannot be decoded."""


def zip_archive(file: BinaryIO, limits: Limits) -> Archive:
    """The archive of a seekable file. `SourceUnreadable` where its directory, which lies at its
    end, cannot be read."""
    packed = file.seek(0, os.SEEK_END)
    try:
        opened = zipfile.ZipFile(_Bounded(file, limits.directory_bytes))
    except _DirectoryTooLarge:
        reason = f"the list of its files has more than {limits.directory_bytes:,} bytes"
        raise SourceUnreadable("TOO_MANY_ENTRIES", reason, "Send it in several archives.") from None
    except _DAMAGE as error:
        reason = f"its archive is damaged: {error}"
        raise SourceUnreadable("ARCHIVE_DAMAGED", reason, "Make the archive again.") from None
    return partial(_entries, opened, _Budget(packed, limits))


def _entries(archive: zipfile.ZipFile, budget: _Budget) -> Iterator[Entry]:
    for info in archive.infolist():
        if not info.is_dir():
            yield Entry(info.filename, _problem(info), partial(_opened, archive, info, budget))


def _problem(info: zipfile.ZipInfo) -> Break | None:
    if stat.S_ISLNK(info.external_attr >> 16):
        return Break("ENTRY_IS_LINK", "Links are not followed.")
    if info.flag_bits & _ENCRYPTED:
        return Break("ENTRY_ENCRYPTED", "The file is encrypted.")
    if info.compress_type not in _METHODS:
        message = f"Compression by method {info.compress_type} is not read, only deflate."
        return Break("ENTRY_COMPRESSION", message)
    return None


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> Source:
    unzipping = _Unzipping(archive, info, budget)
    return Source(io.BufferedReader(unzipping, CHUNK_BYTES), unzipping)


class _DirectoryTooLarge(Exception):
    """More was to be read at once than a directory may have."""


class _Bounded(io.RawIOBase):
    """A file of which no large piece is read at once, whatever the file itself asks for."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = limit

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(self._limit + 1 if size < 0 else min(size, self._limit + 1))
        if len(content) > self._limit:
            raise _DirectoryTooLarge
        return content


class _Budget:
    """What all entries together may become, for what the archive has."""

    def __init__(self, packed: int, limits: Limits) -> None:
        self._packed = packed
        self._most = max(limits.expansion_from_bytes, limits.expansion * packed)
        self._count = 0

    def take(self, size: int) -> Break | None:
        """Count these bytes. Why there must be no more, if so."""
        self._count += size
        if self._count <= self._most:
            return None
        message = f"{self._packed:,} compressed bytes became {self._count:,}."
        return Break("EXPANDS_TOO_MUCH", message)


class _Unzipping(io.RawIOBase):
    """The content of one entry, until the end or the first damage."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> None:
        self._archive = archive
        self._info = info
        self._budget = budget
        self._file: IO[bytes] | None = None
        self.broken: Break | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if self.broken:
            return 0
        try:
            if self._file is None:
                self._file = self._archive.open(self._info)
            content = self._file.read(min(len(view), CHUNK_BYTES))
        except (*_DAMAGE, RuntimeError) as error:
            self.broken = Break("ENTRY_DAMAGED", f"The file is damaged: {error}.")
            return 0
        self.broken = self._budget.take(len(content))
        if self.broken:
            return 0
        view[: len(content)] = content
        return len(content)
