"""Which version of a model was in production, since when, and who put it there."""

from uuid import UUID

from tortoise import fields

from jobs.models.base import Base
from jobs.models.base_models import BaseModel, ModelVersion
from jobs.models.users import User
from jobs.status import ActivationKind


class Activation(Base):
    """One change of the version in production, numbered from 1 for each model.

    `below` is the activation that a rollback of this one returns to, and `previous_id` the version
    that was there before. The version's name is kept here, since it may be deleted later.
    """

    model: fields.ForeignKeyRelation[BaseModel] = fields.ForeignKeyField(
        "jobs.BaseModel", related_name="activations", on_delete=fields.CASCADE
    )
    model_id: UUID
    number = fields.IntField()
    kind = fields.CharEnumField(ActivationKind, max_length=16)
    version: fields.ForeignKeyNullableRelation[ModelVersion] = fields.ForeignKeyField(
        "jobs.ModelVersion", related_name="activations", on_delete=fields.SET_NULL, null=True
    )
    version_id: UUID | None
    version_name = fields.CharField(max_length=32)
    previous_id: UUID | None = fields.UUIDField(null=True)
    below: fields.ForeignKeyNullableRelation["Activation"] = fields.ForeignKeyField(
        "jobs.Activation", related_name="above", on_delete=fields.SET_NULL, null=True
    )
    below_id: UUID | None
    reason = fields.TextField(null=True)
    forced = fields.BooleanField(default=False, db_default=False)
    actor: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="activations", on_delete=fields.SET_NULL, null=True
    )
    actor_id: UUID | None

    class Meta:
        table = "activations"
        unique_together = (("model", "number"),)
