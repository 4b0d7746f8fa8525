"""Answers that were asked of versions."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Leased
from jobs.models.base_models import ModelVersion
from jobs.models.users import User
from jobs.status import TaskStatus


class Generation(Leased):
    """A conversation that a version goes on with, or its base.

    `messages` are `training.serving.spec.Message`s as JSON, `parameters` are `Parameters`. `text` is
    what there is of the answer; once this is READY, `ending` holds an `Ended`, and where it FAILED
    `error` a `Failure`. Nobody waits for one that is `abandoned`.
    """

    version: fields.ForeignKeyRelation[ModelVersion] = fields.ForeignKeyField(
        "jobs.ModelVersion", related_name="generations", on_delete=fields.CASCADE
    )
    version_id: UUID
    of_base = fields.BooleanField(default=False, db_default=False)
    messages: list[dict[str, Any]] = fields.JSONField()
    parameters: dict[str, Any] = fields.JSONField()
    status = fields.CharEnumField(TaskStatus, max_length=16, default=TaskStatus.QUEUED)
    abandoned = fields.BooleanField(default=False, db_default=False)
    text = fields.TextField(default="", db_default="")
    ending: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="generations", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "generations"
        indexes = (("status", "lease_expires_at"), ("version_id", "created_at"))
