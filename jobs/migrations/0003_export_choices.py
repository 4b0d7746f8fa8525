from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from training.export.spec import MergeBase
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Export",
            name="merge_base",
            field=fields.CharEnumField(
                null=True,
                description="QUANTISED: QUANTISED\nORIGINAL: ORIGINAL",
                enum_type=MergeBase,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="Worker",
            name="export_formats",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
