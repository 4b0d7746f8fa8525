"""Who did what."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Base


class AuditEntry(Base):
    """One deed, written in the transaction that did it. `actor_id` is null for the service."""

    actor_id: UUID | None = fields.UUIDField(null=True)
    action = fields.CharField(max_length=64)
    subject_kind = fields.CharField(max_length=32)
    subject_id: UUID = fields.UUIDField()
    detail: dict[str, Any] = fields.JSONField(default=dict)

    class Meta:
        table = "audit_entries"
        indexes = (("subject_id", "created_at"),)
