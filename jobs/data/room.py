"""What an account's files take up on their way in: its uploads, and what is fetched of the hub for it."""

from uuid import UUID

from tortoise.expressions import F

from jobs.errors import QuotaExceeded
from jobs.models import Dataset, Upload, User
from jobs.status import TaskStatus

__all__ = ["reserve"]


async def reserve(owner_id: UUID, size_bytes: int, quota_bytes: int) -> None:
    """Refuse what goes beyond an account's quota; until the transaction ends, only one may ask."""
    # An update that changes nothing locks the account's row on either database.
    await User.filter(id=owner_id).update(token_version=F("token_version"))
    uploads = await Upload.filter(owner_id=owner_id)
    held = sum(max(row.size_bytes or 0, row.received_bytes) for row in uploads)
    coming = Dataset.filter(
        owner_id=owner_id,
        hub__isnull=False,
        status__in=(TaskStatus.QUEUED, TaskStatus.RUNNING),
    )
    held += sum(row.source_bytes or 0 for row in await coming.only("id", "source_bytes"))
    if held + size_bytes > quota_bytes:
        raise QuotaExceeded(
            f"Your uploads, and what is being fetched for you, take up {held} bytes; "
            f"{size_bytes} more would be over {quota_bytes}.",
            "Make datasets of your uploads or delete some, or wait until what is fetched was read. "
            "TUNERY_UPLOAD_QUOTA_BYTES sets the limit.",
        )
