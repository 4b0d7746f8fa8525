"""Registered base models and the versions trained from them."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Base, Leased
from jobs.models.training_jobs import TrainingJob
from jobs.models.users import User
from jobs.status import TaskStatus, VersionStatus


class BaseModel(Leased):
    """A model that can be trained: READY once a child process has seen that it loads.

    `facts` is a `training.models.facts.ModelFacts` as JSON, `error` a `training.events.Failure`, and
    `gate` a `jobs.registry.gates.Gate`. Whoever changes the version in production counts
    `activation_counter` up from what was read.
    """

    name = fields.CharField(max_length=100, unique=True)
    source = fields.CharField(max_length=1024)
    status = fields.CharEnumField(TaskStatus, max_length=16, default=TaskStatus.QUEUED)
    facts: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    version_counter = fields.IntField(default=0, db_default=0)
    activation_counter = fields.IntField(default=0, db_default=0)
    gate: dict[str, Any] | None = fields.JSONField(null=True)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="base_models", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "base_models"
        indexes = (("created_at", "id"),)


class ModelVersion(Base):
    """What a job makes, from the moment a worker first takes it.

    `config` is the job's `TrainingConfig`. `path`, relative to the artifact root, and `result`, a
    `training.events.TrainingResult` as JSON, are null until the job is COMPLETED; `error` is a
    `Failure` where it has ended otherwise.
    """

    model: fields.ForeignKeyRelation[BaseModel] = fields.ForeignKeyField(
        "jobs.BaseModel", related_name="versions", on_delete=fields.RESTRICT
    )
    model_id: UUID
    job: fields.OneToOneRelation[TrainingJob] = fields.OneToOneField(
        "jobs.TrainingJob", related_name="version", on_delete=fields.RESTRICT
    )
    job_id: UUID
    version = fields.CharField(max_length=32)
    status = fields.CharEnumField(VersionStatus, max_length=16)
    accuracy = fields.FloatField(null=True)
    path = fields.CharField(max_length=255, null=True)
    config: dict[str, Any] = fields.JSONField()
    result: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    samples: list[dict[str, Any]] = fields.JSONField(default=list)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="versions", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "model_versions"
        unique_together = (("model", "version"),)
        indexes = (("created_at", "id"),)
