"""Uploads: files on their way in."""

from datetime import datetime
from uuid import UUID

from tortoise import fields

from jobs.models.base import Base
from jobs.models.users import User
from jobs.status import UploadStatus


class Upload(Base):
    """A file that arrives in parts, and is gone once a dataset was made of it.

    `size_bytes` and `sha256` are what was announced, null where nothing was; once it is READY, what
    it has. `received_bytes` of it are on the disk for good.
    """

    name = fields.CharField(max_length=255)
    status = fields.CharEnumField(UploadStatus, max_length=16, default=UploadStatus.RECEIVING)
    size_bytes: int | None = fields.BigIntField(null=True)
    sha256 = fields.CharField(max_length=64, null=True)
    received_bytes = fields.BigIntField(default=0, db_default=0)
    expires_at: datetime = fields.DatetimeField(db_index=True)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="uploads", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "uploads"
        indexes = (("owner_id", "sha256"),)
