"""Datasets: the row describes, the JSONL file in the artifact store holds."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Base
from jobs.models.users import User
from training.config import DataType


class Dataset(Base):
    """`statistics` is a `training.data.records.Statistics`, `rejected` a list of `Rejected`, as JSON.

    `deleting` is raised first by a deletion and seen by every submission, so that neither can
    pass the other unnoticed.
    """

    name = fields.CharField(max_length=100)
    description = fields.TextField(null=True)
    data_type = fields.CharEnumField(DataType, max_length=16)
    record_count = fields.IntField()
    size_bytes = fields.BigIntField()
    sha256 = fields.CharField(max_length=64)
    statistics: dict[str, Any] = fields.JSONField()
    rejected: list[dict[str, Any]] = fields.JSONField(default=list)
    uses = fields.IntField(default=0, db_default=0)
    deleting = fields.BooleanField(default=False, db_default=False)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="datasets", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "datasets"
        indexes = (("owner_id", "created_at"), ("created_at", "id"))
