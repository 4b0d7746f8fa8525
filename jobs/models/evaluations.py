"""Measurements of versions on test records."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Leased
from jobs.models.base_models import ModelVersion
from jobs.models.datasets import Dataset
from jobs.models.users import User
from jobs.status import TaskStatus


class Evaluation(Leased):
    """A version measured on the records of a dataset.

    `options` is a `training.evaluation.spec.EvaluationOptions` as JSON, `result` an
    `EvaluationResult` once this is READY, `error` a `Failure`. `dataset` turns null if it is deleted
    later, so its name and hash are kept here too.
    """

    version: fields.ForeignKeyRelation[ModelVersion] = fields.ForeignKeyField(
        "jobs.ModelVersion", related_name="evaluations", on_delete=fields.CASCADE
    )
    version_id: UUID
    dataset: fields.ForeignKeyNullableRelation[Dataset] = fields.ForeignKeyField(
        "jobs.Dataset", related_name="evaluations", on_delete=fields.SET_NULL, null=True
    )
    dataset_id: UUID | None
    dataset_name = fields.CharField(max_length=100)
    dataset_sha256 = fields.CharField(max_length=64)
    options: dict[str, Any] = fields.JSONField()
    status = fields.CharEnumField(TaskStatus, max_length=16, default=TaskStatus.QUEUED)
    progress = fields.FloatField(default=0.0, db_default=0.0)
    result: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="evaluations", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "evaluations"
        indexes = (("status", "lease_expires_at"), ("created_at", "id"))
