from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from training.data.containers.prose import Division
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0009_examinations")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Dataset",
            name="division",
            field=fields.CharEnumField(
                default=Division.PASSAGES,
                description="PASSAGES: PASSAGES\nPARAGRAPHS: PARAGRAPHS\nLINES: LINES\nWHOLE: WHOLE",
                db_default=Division.PASSAGES,
                enum_type=Division,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="Dataset",
            name="hub",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Dataset",
            name="source_bytes",
            field=fields.BigIntField(null=True),
        ),
    ]
