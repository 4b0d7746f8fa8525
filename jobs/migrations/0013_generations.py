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
    dependencies = [("jobs", "0012_evaluations")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Generation",
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
                        related_name="generations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("of_base", fields.BooleanField(default=False, db_default=False)),
                ("messages", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("parameters", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                (
                    "status",
                    fields.CharEnumField(
                        default=TaskStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nREADY: READY\nFAILED: FAILED",
                        enum_type=TaskStatus,
                        max_length=16,
                    ),
                ),
                ("abandoned", fields.BooleanField(default=False, db_default=False)),
                ("text", fields.TextField(default="", db_default="", unique=False)),
                ("ending", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="generations",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "generations",
                "app": "jobs",
                "indexes": [
                    Index(fields=["status", "lease_expires_at"]),
                    Index(fields=["version_id", "created_at"]),
                ],
                "pk_attr": "id",
                "table_description": "A conversation that a version goes on with, or its base.",
            },
            bases=["Leased"],
        ),
    ]
