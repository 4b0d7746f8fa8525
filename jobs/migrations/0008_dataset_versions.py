from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid import uuid4
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_ingest")]

    initial = False

    operations = [
        ops.CreateModel(
            name="DatasetVersion",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                (
                    "dataset",
                    fields.OneToOneField(
                        "jobs.Dataset",
                        source_field="dataset_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="as_version",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                (
                    "parent",
                    fields.ForeignKeyField(
                        "jobs.DatasetVersion",
                        source_field="parent_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="children",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("root_id", fields.UUIDField(db_index=True)),
                ("number", fields.IntField()),
                ("name", fields.CharField(max_length=100)),
                ("sha256", fields.CharField(max_length=64)),
                ("record_count", fields.IntField()),
                ("changes", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "dataset_versions",
                "app": "jobs",
                "pk_attr": "id",
                "table_description": "A dataset that others were derived from, or that was derived, and what it was made by.",
            },
            bases=["Base"],
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="dataset_version",
            field=fields.IntField(default=1, db_default=1),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="validation_dataset",
            field=fields.ForeignKeyField(
                "jobs.Dataset",
                source_field="validation_dataset_id",
                null=True,
                db_constraint=True,
                to_field="id",
                related_name="validated_jobs",
                on_delete=OnDelete.SET_NULL,
            ),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="validation_name",
            field=fields.CharField(null=True, max_length=100),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="validation_sha256",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="validation_version",
            field=fields.IntField(null=True),
        ),
    ]
