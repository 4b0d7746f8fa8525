from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import TaskStatus
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from training.config import TrainOn
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index

DONE_BEFORE = "UPDATE examinations SET progress = 100.0 WHERE status = 'READY'"


class Migration(migrations.Migration):
    dependencies = [("jobs", "0014_derivations")]

    initial = False

    operations = [
        ops.CreateModel(
            name="TokenExamination",
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
                ("key", fields.CharField(unique=True, max_length=64)),
                (
                    "dataset",
                    fields.ForeignKeyField(
                        "jobs.Dataset",
                        source_field="dataset_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="token_examinations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "model",
                    fields.ForeignKeyField(
                        "jobs.BaseModel",
                        source_field="model_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="token_examinations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("chat_template", fields.TextField(null=True, unique=False)),
                (
                    "train_on",
                    fields.CharEnumField(
                        description="ASSISTANT: ASSISTANT\nLAST_ASSISTANT: LAST_ASSISTANT\nALL: ALL",
                        enum_type=TrainOn,
                        max_length=16,
                    ),
                ),
                ("max_sequence_length", fields.IntField()),
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
                ("report", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "token_examinations",
                "app": "jobs",
                "indexes": [
                    Index(fields=["status", "lease_expires_at"]),
                    Index(fields=["dataset_id", "created_at"]),
                ],
                "pk_attr": "id",
                "table_description": "A look at the rows of tokens that a dataset's records become for a model, rendered in one way.",
            },
            bases=["Leased"],
        ),
        ops.AddField(
            model_name="Examination",
            name="progress",
            field=fields.FloatField(default=0.0, db_default=0.0),
        ),
        ops.RunSQL(DONE_BEFORE, ops.RunSQL.noop),
    ]
