"""Uploads: announced, sent in parts, used once, and removed when their time is over."""

import asyncio
import string
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tortoise.queryset import QuerySet

from jobs import audit
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.data.room import reserve
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import Dataset, Upload
from jobs.settings import Settings
from jobs.status import TaskStatus, UploadStatus
from training.validation import Finding, Severity

__all__ = [
    "Announced",
    "Removed",
    "create",
    "delete",
    "get",
    "hold",
    "ready",
    "remove_expired",
]

MAX_NAME = 255


@dataclass(frozen=True)
class Announced:
    """What is said of a file before it is sent; what is not known is None."""

    name: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Removed:
    """What the deletion of an upload removed."""

    id: UUID
    freed_bytes: int


async def create(viewer: Viewer, announced: Announced, *, settings: Settings) -> Upload:
    """Make room for a file. The owner's own upload of the same size and sum is given again.

    So a sender that lost everything but the file finds out how far it had come. Raises
    InvalidInput, or QuotaExceeded where the owner would have too much on the way.
    """
    _refuse_if_bad(announced, settings.max_upload_bytes)
    expires_at = datetime.now(UTC) + timedelta(seconds=settings.upload_seconds)
    async with transaction():
        if announced.size_bytes is not None and announced.sha256 is not None:
            same = Upload.filter(
                owner_id=viewer.user_id, size_bytes=announced.size_bytes, sha256=announced.sha256
            )
            await same.update(expires_at=expires_at)
            known = await same.order_by("created_at").first()
            if known is not None:
                return known
        await reserve(viewer.user_id, announced.size_bytes or 0, settings.upload_quota_bytes)
        upload = await Upload.create(
            name=announced.name.strip(),
            size_bytes=announced.size_bytes,
            sha256=announced.sha256,
            expires_at=expires_at,
            owner_id=viewer.user_id,
        )
        await audit.record(viewer, "createUpload", upload, upload.id, name=upload.name)
    return upload


async def get(viewer: Viewer, upload_id: UUID) -> Upload:
    """An upload that the viewer may see; NotFound otherwise."""
    upload = await visible(viewer, Upload.filter(id=upload_id)).first()
    if upload is None:
        raise NotFound("upload", upload_id)
    return upload


async def ready(viewer: Viewer, upload_id: UUID) -> Upload:
    """An upload that is whole; Conflict, saying what is missing, where it is not."""
    upload = await get(viewer, upload_id)
    if upload.status is not UploadStatus.READY:
        size = "an unknown number" if upload.size_bytes is None else upload.size_bytes
        raise Conflict(
            f"Of the upload {upload.name!r} only {upload.received_bytes} of {size} bytes are here.",
            "Send the rest with PUT to the upload's url.",
        )
    return upload


async def hold(viewer: Viewer, upload_id: UUID, *, seconds: float) -> Upload:
    """A whole upload for the dataset that the caller's transaction is about to make of it.

    It is kept for as long as that takes, and `seconds` from now in any case. Raises NotFound, and
    Conflict where it is not whole or another dataset is being made of it.
    """
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    # the update holds the row, so that of two who ask at once one sees the other's dataset
    if not await visible(viewer, Upload.filter(id=upload_id)).update(expires_at=until):
        raise NotFound("upload", upload_id)
    await _refuse_if_in_use(upload_id)
    return await ready(viewer, upload_id)


async def delete(viewer: Viewer, upload_id: UUID, *, artifacts: Artifacts) -> Removed:
    """Remove an upload and what arrived of it. Conflict while a dataset is being made of it."""
    upload = await get(viewer, upload_id)
    async with transaction():
        if not await visible(viewer, Upload.filter(id=upload_id)).delete():
            raise NotFound("upload", upload_id)
        await _refuse_if_in_use(upload_id)
        await audit.record(viewer, "deleteUpload", upload, upload_id, name=upload.name)
    freed = await asyncio.to_thread(artifacts.remove, artifacts.upload(upload_id))
    return Removed(upload_id, freed)


async def remove_expired(artifacts: Artifacts) -> None:
    """Remove uploads whose time is over, but none that a dataset is being made of, and files whose
    row is gone. May run twice at once."""
    used = [row.upload_id for row in await _unfinished().only("id", "upload_id")]
    expired = Upload.filter(expires_at__lt=datetime.now(UTC))
    await expired.filter(id__not_in=used).delete()
    folders = await asyncio.to_thread(artifacts.upload_folders)
    if not folders:
        return
    alive = {row.id for row in await Upload.filter(id__in=list(folders))}
    for upload_id, folder in folders.items():
        if upload_id not in alive:
            with suppress(FileNotFoundError):  # another worker's sweep was faster
                await asyncio.to_thread(artifacts.remove, folder)


async def _refuse_if_in_use(upload_id: UUID) -> None:
    dataset = await _unfinished().filter(upload_id=upload_id).first()
    if dataset is not None:
        raise Conflict(
            f"The dataset {dataset.name!r} is being made of this upload.",
            "Wait until it has ended, or delete it.",
        )


def _unfinished() -> QuerySet[Dataset]:
    """Datasets that are being made of uploads."""
    waiting = (TaskStatus.QUEUED, TaskStatus.RUNNING)
    return Dataset.filter(status__in=waiting, upload_id__isnull=False)


def _refuse_if_bad(announced: Announced, max_bytes: int) -> None:
    name, size, sha256 = announced.name.strip(), announced.size_bytes, announced.sha256
    findings = []
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        message = f"The name {name[:40]!r} is empty, too long, or cannot be printed."
        remedy = f"Choose a name of 1 to {MAX_NAME} printable characters."
        findings.append(_finding("name", "NAME", message, remedy))
    if size is not None and not 1 <= size <= max_bytes:
        message = f"The size is {size} bytes; 1 to {max_bytes} can be uploaded."
        remedy = "Send the file in parts of that size; TUNERY_MAX_UPLOAD_BYTES sets the limit."
        if size < 1:
            remedy = "Send a file that is not empty."
        findings.append(_finding("sizeBytes", "SIZE", message, remedy))
    if sha256 is not None and (len(sha256) != 64 or set(sha256) - set(string.hexdigits.lower())):
        message = f"The sha256 {sha256[:70]!r} is no checksum."
        findings.append(_finding("sha256", "SHA256", message, "Send 64 hex digits in lower case."))
    if findings:
        raise InvalidInput("; ".join(each.message for each in findings), findings)


def _finding(name: str, code: str, message: str, remedy: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=(name,),
        message=message,
        remedy=remedy,
        suggested_patch=None,
    )
