from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import UploadStatus
from tortoise.fields.base import OnDelete
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_machines")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Upload",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("name", fields.CharField(max_length=255)),
                (
                    "status",
                    fields.CharEnumField(
                        default=UploadStatus.RECEIVING,
                        description="RECEIVING: RECEIVING\nREADY: READY",
                        enum_type=UploadStatus,
                        max_length=16,
                    ),
                ),
                ("size_bytes", fields.BigIntField(null=True)),
                ("sha256", fields.CharField(null=True, max_length=64)),
                ("received_bytes", fields.BigIntField(default=0, db_default=0)),
                (
                    "expires_at",
                    fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False),
                ),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="uploads",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "uploads",
                "app": "jobs",
                "indexes": [Index(fields=["owner_id", "sha256"])],
                "pk_attr": "id",
                "table_description": "A file that arrives in parts, and is gone once a dataset was made of it.",
            },
            bases=["Base"],
        ),
    ]
