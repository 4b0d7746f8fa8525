from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import ActivationKind
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid import uuid4
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_hub_datasets")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Activation",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                (
                    "model",
                    fields.ForeignKeyField(
                        "jobs.BaseModel",
                        source_field="model_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="activations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("number", fields.IntField()),
                (
                    "kind",
                    fields.CharEnumField(
                        description="ACTIVATION: ACTIVATION\nROLLBACK: ROLLBACK",
                        enum_type=ActivationKind,
                        max_length=16,
                    ),
                ),
                (
                    "version",
                    fields.ForeignKeyField(
                        "jobs.ModelVersion",
                        source_field="version_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="activations",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("version_name", fields.CharField(max_length=32)),
                ("previous_id", fields.UUIDField(null=True)),
                (
                    "below",
                    fields.ForeignKeyField(
                        "jobs.Activation",
                        source_field="below_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="above",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("reason", fields.TextField(null=True, unique=False)),
                ("forced", fields.BooleanField(default=False, db_default=False)),
                (
                    "actor",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="actor_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="activations",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
            ],
            options={
                "table": "activations",
                "app": "jobs",
                "unique_together": (("model", "number"),),
                "pk_attr": "id",
                "table_description": "One change of the version in production, numbered from 1 for each model.",
            },
            bases=["Base"],
        ),
        ops.AddField(
            model_name="BaseModel",
            name="activation_counter",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="BaseModel",
            name="gate",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
