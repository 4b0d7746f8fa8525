"""What the doctor says of datasets."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Leased
from jobs.models.datasets import Dataset
from jobs.status import TaskStatus


class Examination(Leased):
    """A look at the records of a dataset that is READY, by the same id.

    `report` is a `training.data.doctor.report.Report` as JSON once this was READY, `error` a `Failure`.
    """

    dataset: fields.OneToOneRelation[Dataset] = fields.OneToOneField(
        "jobs.Dataset", related_name="examination", on_delete=fields.CASCADE
    )
    dataset_id: UUID
    status = fields.CharEnumField(TaskStatus, max_length=16, default=TaskStatus.QUEUED)
    progress = fields.FloatField(default=0.0, db_default=0.0)
    report: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)

    class Meta:
        table = "examinations"
        indexes = (("status", "lease_expires_at"),)
