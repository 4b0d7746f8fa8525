from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid import uuid4
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0013_generations")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Derivation",
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
                        db_constraint=True,
                        to_field="id",
                        related_name="derivation",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("parent_id", fields.UUIDField(db_index=True)),
                ("added_dataset_id", fields.UUIDField(null=True, db_index=True)),
                ("removal", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("records", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "derivations",
                "app": "jobs",
                "pk_attr": "id",
                "table_description": "What a dataset is to be derived from, by the same id, until it is READY.",
            },
            bases=["Base"],
        ),
    ]
