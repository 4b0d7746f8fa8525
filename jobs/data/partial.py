"""A file that arrives in parts: one writer at a time, synced, and summed up as it comes."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from jobs.artifacts import sync_folder
from jobs.errors import StorageFull, UploadBusy

__all__ = ["PartialFile", "locked"]

READ_BYTES: Final = 1024 * 1024
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PartialFile:
    """What is there of a file, behind `synced` bytes that are on the disk for good.

    Everything here blocks, and is called by one thread at a time.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._digest = hashlib.sha256()
        self.synced = 0
        self.written = 0

    def catch_up(self, offset: int) -> None:
        """Go on at `offset`, or at the end where less is there; what lies behind it is dropped.

        What is there is read once, for the checksum: the state of one cannot be stored.
        """
        self._file.truncate(min(offset, self._file.seek(0, os.SEEK_END)))
        self._file.seek(0)
        while block := self._file.read(READ_BYTES):
            self._digest.update(block)
            self.written += len(block)
        self.synced = self.written

    def write(self, block: bytes) -> None:
        """Add to the end. Where the disk is full, raises StorageFull and drops what is not synced."""
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._given_up(error) from error
        self._digest.update(block)
        self.written += len(block)

    def sync(self) -> None:
        """Make what was written durable; StorageFull as above."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._given_up(error) from error
        self.synced = self.written

    def sha256(self) -> str:
        """Of all that was written, in hex."""
        return self._digest.hexdigest()

    def finish(self, whole: Path) -> None:
        """Give the file its lasting name."""
        self._path.replace(whole)
        sync_folder(whole.parent)

    def clear(self) -> None:
        """Drop everything."""
        self._file.truncate(0)
        self.synced = self.written = 0

    def _given_up(self, error: OSError) -> OSError | StorageFull:
        if error.errno not in _FULL:
            return error
        self._file.truncate(self.synced)
        self.written = self.synced
        return StorageFull(
            f"The disk is full: {self.synced} bytes of the upload are kept.",
            "Free some space and go on from there.",
        )


@contextmanager
def locked(whole: Path) -> Iterator[PartialFile]:
    """The file that will be `whole`, made if need be, for this writer alone.

    Raises UploadBusy where another process or request writes it. The system frees the lock of a
    process that dies.
    """
    whole.parent.mkdir(parents=True, exist_ok=True)
    path = whole.with_name(f".{whole.name}.partial")
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadBusy(
                "Another request is sending this upload.", "Wait until it has ended, then go on."
            ) from error
        yield PartialFile(path, file)
