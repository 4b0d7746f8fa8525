"""The entries of a tar archive, read as a stream.

Headers are parsed by `tarfile`; it is not left to walk through them, because it reads a name of any
length into memory, and keeps every header.
"""

from __future__ import annotations  # a buffer's type has a name for type checkers alone

import io
import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from training.data.containers.archive import Entry
from training.data.containers.limits import CHUNK_BYTES
from training.data.containers.source import Break, Source
from training.errors import SourceUnreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["is_tar", "tar_entries"]

_BLOCK: Final = tarfile.BLOCKSIZE
_NAME_BYTES: Final = 64 * 1024
_MAGIC: Final = slice(257, 262)

_NAMING: Final = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)
_UNUSED: Final = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.SOLARIS_XHDTYPE)
_LINKS: Final = (tarfile.SYMTYPE, tarfile.LNKTYPE)

_LINK: Final = Break("ENTRY_IS_LINK", "Links are not followed.")
_SPECIAL: Final = Break("ENTRY_NOT_FILE", "This is neither a file nor a folder.")


def is_tar(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a tar archive."""
    return head[_MAGIC] == b"ustar"


def tar_entries(source: Source) -> Iterator[Entry]:
    """Every entry that is no folder, in order.

    Where the archive ends early or is damaged, the last entry says so.
    """
    stream = source.stream
    name: str | None = None
    size: int | None = None
    while header := _header(source):
        if isinstance(header, Break):
            yield Entry(name or "the archive", header, _unopened)
            return
        if header.type in _NAMING and header.size <= _NAME_BYTES:
            content = stream.read(_padded(header.size))[: header.size]
            name, size = _named(header, content, name=name, size=size)
            continue
        length = header.size if size is None else size
        section = _Section(source, length if _has_content(header) else 0)
        if header.type not in (*_UNUSED, *_NAMING):
            if not header.isdir():
                yield Entry(name or header.name, _problem(header), section.as_source)
            name = size = None
        section.skip()


def _unopened() -> Source:
    raise SourceUnreadable("ARCHIVE_DAMAGED", "its archive is damaged", "Make the archive again.")


def _header(source: Source) -> tarfile.TarInfo | Break | None:
    """The next header; None at the end."""
    content = source.stream.read(_BLOCK)
    if source.broken:
        return source.broken
    try:
        header = tarfile.TarInfo.frombuf(content, "utf-8", "backslashreplace")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
        return None
    except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
        return Break("ENDS_EARLY", "The archive ends before its end.")
    except (tarfile.HeaderError, ValueError) as error:
        return Break("ARCHIVE_DAMAGED", f"What follows is no entry of an archive: {error}.")
    return header if header.size >= 0 else Break("ARCHIVE_DAMAGED", "A size is below 0.")


def _problem(header: tarfile.TarInfo) -> Break | None:
    if header.type in _LINKS:
        return _LINK
    return None if header.isreg() and not header.issparse() else _SPECIAL


def _has_content(header: tarfile.TarInfo) -> bool:
    return header.type not in (*_LINKS, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)


def _named(
    header: tarfile.TarInfo, content: bytes, *, name: str | None, size: int | None
) -> tuple[str | None, int | None]:
    """What an entry before an entry says of its path and size."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return content.split(b"\0", 1)[0].decode(errors="backslashreplace"), size
    while content:
        length, _, rest = content.partition(b" ")
        if not length.isdigit() or not len(length) < int(length[:9]) <= len(content):
            break
        key, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        if key == b"path":
            name = value.decode(errors="backslashreplace")
        elif key == b"size" and value.isdigit():
            size = int(value[:20])
        content = content[int(length) :]
    return name, size


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


class _Section(io.RawIOBase):
    """The content of one entry, a stretch of the archive's stream."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._left = size
        self._padding = _padded(size) - size
        self.broken: Break | None = None

    def readable(self) -> bool:
        return True

    def as_source(self) -> Source:
        """The content as a source."""
        return Source(io.BufferedReader(self, CHUNK_BYTES), self)

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        content = self._source.stream.read1(min(len(view), self._left)) if self._left else b""
        view[: len(content)] = content
        self._left -= len(content)
        if self._left and not content:
            self.broken = self._source.broken or Break("ENDS_EARLY", "The file ends too early.")
        return len(content)

    def skip(self) -> None:
        """Pass what was not read, and what fills the last block."""
        left = self._left + self._padding
        while left and (content := self._source.stream.read1(min(left, CHUNK_BYTES))):
            left -= len(content)
        self._left = 0
