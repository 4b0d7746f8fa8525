"""Datasets that are being derived from others."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Base
from jobs.models.datasets import Dataset


class Derivation(Base):
    """What a dataset is to be derived from, by the same id, until it is READY.

    `removal` is a `training.data.derivation.RemovalPlan` as JSON. What is added is the dataset's upload,
    or the records of another dataset, or `records`: JSONL in plain ASCII, for they may hold what a
    database's own JSON cannot.
    """

    dataset: fields.OneToOneRelation[Dataset] = fields.OneToOneField(
        "jobs.Dataset", related_name="derivation", on_delete=fields.CASCADE
    )
    dataset_id: UUID
    parent_id: UUID = fields.UUIDField(db_index=True)
    added_dataset_id: UUID | None = fields.UUIDField(null=True, db_index=True)
    removal: dict[str, Any] = fields.JSONField()
    records: str | None = fields.TextField(null=True)

    class Meta:
        table = "derivations"
