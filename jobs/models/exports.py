"""Exported files of a version."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Leased
from jobs.models.base_models import ModelVersion
from jobs.models.users import User
from jobs.status import TaskStatus
from training.export.spec import ExportFormat, MergeBase, WeightType


class Export(Leased):
    """READY only after the files were loaded and agreed with the trained model.

    `result` is a `training.export.spec.ExportResult` as JSON, `error` a `Failure`.
    """

    version: fields.ForeignKeyRelation[ModelVersion] = fields.ForeignKeyField(
        "jobs.ModelVersion", related_name="exports", on_delete=fields.RESTRICT
    )
    version_id: UUID
    format = fields.CharEnumField(ExportFormat, max_length=16)
    adapter_only = fields.BooleanField(default=False, db_default=False)
    weight_type = fields.CharEnumField(WeightType, max_length=16, null=True)
    shard_bytes = fields.BigIntField(null=True)
    merge_base = fields.CharEnumField(MergeBase, max_length=16, null=True)
    status = fields.CharEnumField(TaskStatus, max_length=16, default=TaskStatus.QUEUED)
    progress = fields.FloatField(default=0.0, db_default=0.0)
    result: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="exports", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "exports"
        indexes = (("status", "lease_expires_at"),)
