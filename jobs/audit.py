"""Who did what: one row a deed, written inside the transaction that did it."""

from uuid import UUID

from tortoise.models import Model

from jobs.access import Viewer
from jobs.models import AuditEntry

__all__ = ["record"]


async def record(
    viewer: Viewer | None, action: str, subject: Model, subject_id: UUID, **detail: object
) -> None:
    """Note that `viewer` (null for the service itself) did `action` to `subject`."""
    _ = await AuditEntry.create(
        actor_id=viewer.user_id if viewer else None,
        action=action,
        subject_kind=type(subject).__name__,
        subject_id=subject_id,
        detail=detail,
    )
