from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import TaskStatus
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("jobs", "0011_activations")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Evaluation",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("worker_id", fields.CharField(null=True, max_length=64)),
                (
                    "lease_expires_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                ("attempt", fields.IntField(default=0, db_default=0)),
                ("crashes", fields.IntField(default=0, db_default=0)),
                (
                    "version",
                    fields.ForeignKeyField(
                        "jobs.ModelVersion",
                        source_field="version_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="evaluations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "dataset",
                    fields.ForeignKeyField(
                        "jobs.Dataset",
                        source_field="dataset_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="evaluations",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("dataset_name", fields.CharField(max_length=100)),
                ("dataset_sha256", fields.CharField(max_length=64)),
                ("options", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                (
                    "status",
                    fields.CharEnumField(
                        default=TaskStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nREADY: READY\nFAILED: FAILED",
                        enum_type=TaskStatus,
                        max_length=16,
                    ),
                ),
                ("progress", fields.FloatField(default=0.0, db_default=0.0)),
                ("result", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="evaluations",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "evaluations",
                "app": "jobs",
                "indexes": [
                    Index(fields=["status", "lease_expires_at"]),
                    Index(fields=["created_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "A version measured on the records of a dataset.",
            },
            bases=["Leased"],
        ),
    ]
