from tortoise import migrations
from tortoise.migrations import operations as ops
from uuid import uuid4
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_estimates")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("name", fields.CharField(unique=True, max_length=64)),
                ("devices", fields.IntField()),
                ("devices_in_use", fields.IntField(default=0, db_default=0)),
                ("slots", fields.IntField()),
                ("seen_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "workers",
                "app": "jobs",
                "pk_attr": "id",
                "table_description": "A worker that says now and then that it is there, and what it has. Gone once it has left.",
            },
            bases=["Base"],
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="devices",
            field=fields.IntField(default=1, db_default=1),
        ),
    ]
