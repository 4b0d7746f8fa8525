from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import TaskStatus
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from training.config import DataType
from training.data.ingest.spec import OnInvalid
from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state_apps import StateApps


async def count_rejected(apps: StateApps, editor: BaseSchemaEditor) -> None:
    """Datasets of before have their rejected rows in the table."""
    del apps
    sqlite = editor.client.capabilities.dialect == "sqlite"
    length = "json_array_length" if sqlite else "jsonb_array_length"
    await editor.client.execute_script(
        f"UPDATE datasets SET rejected_count = {length}(rejected)"  # noqa: S608  # no value from outside
    )


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_uploads")]

    initial = False

    operations = [
        ops.AlterModelOptions(
            name="Dataset",
            options={
                "table": "datasets",
                "app": "jobs",
                "indexes": [
                    Index(fields=["owner_id", "created_at"]),
                    Index(fields=["created_at", "id"]),
                    Index(fields=["upload_id"]),
                ],
                "pk_attr": "id",
                "table_description": "READY once its records are whole, and null in what is not known of them before.",
            },
        ),
        ops.AlterField(
            model_name="Dataset",
            name="data_type",
            field=fields.CharEnumField(
                null=True,
                description="TEXT: TEXT\nCODE: CODE\nQA: QA\nCOMPLETION: COMPLETION\nCHAT: CHAT",
                enum_type=DataType,
                max_length=16,
            ),
        ),
        ops.AlterField(
            model_name="Dataset",
            name="record_count",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AlterField(
            model_name="Dataset",
            name="sha256",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AlterField(
            model_name="Dataset",
            name="size_bytes",
            field=fields.BigIntField(default=0, db_default=0),
        ),
        ops.AlterField(
            model_name="Dataset",
            name="statistics",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Dataset",
            name="attempt",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="Dataset",
            name="compression",
            field=fields.CharField(null=True, max_length=16),
        ),
        ops.AddField(
            model_name="Dataset",
            name="container",
            field=fields.CharField(null=True, max_length=16),
        ),
        ops.AddField(
            model_name="Dataset",
            name="crashes",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="Dataset",
            name="error",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Dataset",
            name="lease_expires_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Dataset",
            name="left_out",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Dataset",
            name="mapping",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Dataset",
            name="on_invalid",
            field=fields.CharEnumField(
                default=OnInvalid.ERROR,
                description="ERROR: ERROR\nDROP: DROP",
                db_default=OnInvalid.ERROR,
                enum_type=OnInvalid,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="Dataset",
            name="progress",
            field=fields.FloatField(default=100.0, db_default=100.0),
        ),
        ops.AddField(
            model_name="Dataset",
            name="rejected_count",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="Dataset",
            name="source_name",
            field=fields.CharField(null=True, max_length=255),
        ),
        ops.AddField(
            model_name="Dataset",
            name="status",
            field=fields.CharEnumField(
                default=TaskStatus.READY,
                description="QUEUED: QUEUED\nRUNNING: RUNNING\nREADY: READY\nFAILED: FAILED",
                db_default=TaskStatus.READY,
                enum_type=TaskStatus,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="Dataset",
            name="upload_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name="Dataset",
            name="worker_id",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddIndex(
            model_name="Dataset",
            index=Index(fields=["upload_id"]),
        ),
        ops.RunPython(count_rejected, ops.RunPython.noop),
    ]
