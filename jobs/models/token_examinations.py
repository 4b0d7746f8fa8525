"""What the doctor says of datasets as rows of tokens."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Leased
from jobs.models.base_models import BaseModel
from jobs.models.datasets import Dataset
from jobs.status import TaskStatus
from training.config import TrainOn


class TokenExamination(Leased):
    """A look at the rows of tokens that a dataset's records become for a model, rendered in one way.

    `key` is a digest of all that decides what is found, so that there is one row for whoever asks the
    same. `report` is a `training.data.doctor.report.TokenReport` as JSON once this is READY, `error` a
    `Failure`.
    """

    key = fields.CharField(max_length=64, unique=True)
    dataset: fields.ForeignKeyRelation[Dataset] = fields.ForeignKeyField(
        "jobs.Dataset", related_name="token_examinations", on_delete=fields.CASCADE
    )
    dataset_id: UUID
    model: fields.ForeignKeyRelation[BaseModel] = fields.ForeignKeyField(
        "jobs.BaseModel", related_name="token_examinations", on_delete=fields.CASCADE
    )
    model_id: UUID
    chat_template = fields.TextField(null=True)
    train_on = fields.CharEnumField(TrainOn, max_length=16)
    max_sequence_length = fields.IntField()
    status = fields.CharEnumField(TaskStatus, max_length=16, default=TaskStatus.QUEUED)
    progress = fields.FloatField(default=0.0, db_default=0.0)
    report: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)

    class Meta:
        table = "token_examinations"
        indexes = (("status", "lease_expires_at"), ("dataset_id", "created_at"))
