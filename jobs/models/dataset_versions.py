"""Datasets in their lines of descent."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Base
from jobs.models.datasets import Dataset


class DatasetVersion(Base):
    """A dataset that others were derived from, or that was derived, and what it was made by.

    `dataset` turns null if the dataset is deleted while one that descends from it stays, so its
    name, hash and size are kept here too. `root_id` is the first of the line, which has the number
    1 and no parent. `changes` is a `training.data.derivation.Changes` as JSON, null for the first.
    """

    dataset: fields.OneToOneNullableRelation[Dataset] = fields.OneToOneField(
        "jobs.Dataset", related_name="as_version", on_delete=fields.SET_NULL, null=True
    )
    dataset_id: UUID | None
    parent: fields.ForeignKeyNullableRelation["DatasetVersion"] = fields.ForeignKeyField(
        "jobs.DatasetVersion", related_name="children", on_delete=fields.RESTRICT, null=True
    )
    parent_id: UUID | None
    root_id: UUID = fields.UUIDField(db_index=True)
    number = fields.IntField()
    name = fields.CharField(max_length=100)
    sha256 = fields.CharField(max_length=64)
    record_count = fields.IntField()
    changes: dict[str, Any] | None = fields.JSONField(null=True)

    class Meta:
        table = "dataset_versions"
