from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import TaskStatus
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index

EXAMINE_THE_EARLIER = """
    INSERT INTO examinations (id, created_at, attempt, crashes, dataset_id, status)
    SELECT id, created_at, 0, 0, id, 'QUEUED' FROM datasets WHERE status = 'READY' AND NOT deleting
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_dataset_versions")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Examination",
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
                    "dataset",
                    fields.OneToOneField(
                        "jobs.Dataset",
                        source_field="dataset_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="examination",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "status",
                    fields.CharEnumField(
                        default=TaskStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nREADY: READY\nFAILED: FAILED",
                        enum_type=TaskStatus,
                        max_length=16,
                    ),
                ),
                ("report", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "examinations",
                "app": "jobs",
                "indexes": [Index(fields=["status", "lease_expires_at"])],
                "pk_attr": "id",
                "table_description": "A look at the records of a dataset that is READY, by the same id.",
            },
            bases=["Leased"],
        ),
        ops.RunSQL(EXAMINE_THE_EARLIER, ops.RunSQL.noop),
    ]
