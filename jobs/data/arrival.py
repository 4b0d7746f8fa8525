"""One part of an upload on its way from the network to the disk, in bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.data.partial import PartialFile, locked
from jobs.data.room import reserve
from jobs.database import transaction
from jobs.errors import (
    ChecksumMismatch,
    Conflict,
    Interrupted,
    InvalidInput,
    NotFound,
    TooLarge,
    WrongOffset,
)
from jobs.models import Upload
from jobs.settings import Settings
from jobs.status import UploadStatus

__all__ = ["Part", "receive"]

BLOCK_BYTES: Final = 1024 * 1024
"""So much is gathered before it is written."""
SYNC_BYTES: Final = 16 * 1024 * 1024
"""So much is written before it is made durable, and at most so much is lost by a power failure."""
SILENCE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `start + length` of a file of `total` bytes."""

    start: int
    length: int
    total: int


async def receive(
    upload_id: UUID,
    part: Part,
    chunks: AsyncIterator[bytes],
    *,
    artifacts: Artifacts,
    settings: Settings,
) -> Upload:
    """Add a part to an upload, which is READY once this was the last.

    However it ends, what arrived is kept and the next part goes on behind it; only ChecksumMismatch
    lets the upload begin anew. Raises WrongOffset, UploadBusy, TooLarge, QuotaExceeded, StorageFull,
    Interrupted after a minute's silence, and whatever `chunks` raises.
    """
    _ = await _unfinished(upload_id)  # no file is made for one that needs none
    with locked(artifacts.uploaded(upload_id)) as file:
        upload = await _begin(upload_id, part, settings)
        await _in_thread(lambda: file.catch_up(upload.received_bytes))
        if part.start != file.synced:
            if file.synced != upload.received_bytes:
                await _note(upload, file.synced)
            raise WrongOffset(part.start, file.synced)
        arrival = _Arrival(upload, file)
        try:
            await arrival.take(chunks, part.length)
        finally:
            await arrival.keep()
        if file.synced == part.total:
            await _finish(upload, file, artifacts)
    return upload


class _Arrival:
    def __init__(self, upload: Upload, file: PartialFile) -> None:
        self._upload = upload
        self._file = file
        self._gathered = bytearray()

    async def take(self, chunks: AsyncIterator[bytes], length: int) -> None:
        """Write what comes; TooLarge where that is more than `length` bytes."""
        left = length
        async for chunk in _until_silent(chunks):
            self._gathered += chunk[:left]
            left -= len(chunk)
            if left < 0:
                raise TooLarge(
                    f"More than the announced {length} bytes were sent.",
                    "Announce the size that the file has.",
                )
            if len(self._gathered) >= BLOCK_BYTES:
                await self._write()
            if self._file.written - self._file.synced >= SYNC_BYTES:
                await self.keep()
        if left:
            raise Interrupted(f"The part ended {left} bytes early.", "Go on behind what is there.")

    async def keep(self) -> None:
        """Make all that came durable, and say so in the row."""
        await self._write()
        if self._file.written > self._file.synced:
            await _in_thread(self._file.sync)
            await _note(self._upload, self._file.synced)

    async def _write(self) -> None:
        block = bytes(self._gathered)
        self._gathered.clear()
        if block:
            await _in_thread(lambda: self._file.write(block))


async def _unfinished(upload_id: UUID) -> Upload:
    upload = await Upload.get_or_none(id=upload_id)
    if upload is None:
        raise NotFound("upload", upload_id)
    if upload.status is UploadStatus.READY:
        raise Conflict("The upload is whole: nothing is missing.", "Make a dataset of it.")
    return upload


async def _begin(upload_id: UUID, part: Part, settings: Settings) -> Upload:
    """The upload as it stands, once the part was found to fit it and room was reserved."""
    upload = await _unfinished(upload_id)
    if part.total > settings.max_upload_bytes:
        raise TooLarge(
            f"The file has {part.total} bytes; {settings.max_upload_bytes} may be uploaded.",
            "Split the file. TUNERY_MAX_UPLOAD_BYTES sets the limit.",
        )
    if upload.size_bytes is None:
        async with transaction():
            await reserve(upload.owner_id, part.total, settings.upload_quota_bytes)
            if not await Upload.filter(id=upload_id).update(size_bytes=part.total):
                raise NotFound("upload", upload_id)
        upload.size_bytes = part.total
    message = f"The file has {part.total} bytes, but {upload.size_bytes} were announced."
    remedy = "Announce the size that the file has in a new upload."
    if part.total > upload.size_bytes:
        raise TooLarge(message, remedy)
    if part.total < upload.size_bytes:
        raise InvalidInput.at(["size"], message, code="SIZE", remedy=remedy)
    return upload


async def _note(upload: Upload, received_bytes: int) -> None:
    """Write how much is on the disk for good; Conflict where the row is no longer ours to write."""
    rows = Upload.filter(
        id=upload.id, status=UploadStatus.RECEIVING, received_bytes=upload.received_bytes
    )
    if not await rows.update(received_bytes=received_bytes):
        raise Conflict("The upload was deleted, expired or moved on meanwhile.", "Begin anew.")
    upload.received_bytes = received_bytes


async def _finish(upload: Upload, file: PartialFile, artifacts: Artifacts) -> None:
    """Compare the sums, and offer the file."""
    sha256 = file.sha256()
    if upload.sha256 not in (None, sha256):
        await _note(upload, 0)
        file.clear()
        raise ChecksumMismatch(
            f"What arrived has the sha256 {sha256}, but {upload.sha256} was announced.",
            "Send the file again from its beginning.",
        )
    await _in_thread(lambda: file.finish(artifacts.uploaded(upload.id)))
    rows = Upload.filter(id=upload.id, status=UploadStatus.RECEIVING)
    if not await rows.update(status=UploadStatus.READY, sha256=sha256):
        raise NotFound("upload", upload.id)
    upload.status, upload.sha256 = UploadStatus.READY, sha256


async def _until_silent(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks; Interrupted where none comes for a minute."""
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Interrupted(
                f"Nothing came for {SILENCE_SECONDS:.0f} seconds.", "Go on behind what is there."
            ) from error
        yield chunk


async def _in_thread(work: Callable[[], None]) -> None:
    """Do blocking work; a cancellation waits for it, as the file must not be closed below it."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):  # the cancellation is told, whatever became of the work
            await task
        raise
