from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    initial = False

    operations = [
        ops.AlterModelOptions(
            name="ModelVersion",
            options={
                "table": "model_versions",
                "app": "jobs",
                "unique_together": (("model", "version"),),
                "indexes": [Index(fields=["created_at", "id"])],
                "pk_attr": "id",
                "table_description": "What a job makes, from the moment a worker first takes it.",
            },
        ),
        ops.AlterField(
            model_name="ModelVersion",
            name="path",
            field=fields.CharField(null=True, max_length=255),
        ),
        ops.AlterField(
            model_name="ModelVersion",
            name="result",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="ModelVersion",
            name="error",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
