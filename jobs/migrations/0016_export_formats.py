from tortoise import migrations
from tortoise.migrations import operations as ops
from training.export.spec import ExportFormat, WeightType
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0015_token_examinations")]

    initial = False

    operations = [
        ops.AlterField(
            model_name="Export",
            name="format",
            field=fields.CharEnumField(
                description="SAFETENSORS: SAFETENSORS\nPYTORCH: PYTORCH\nONNX: ONNX",
                enum_type=ExportFormat,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="Export",
            name="shard_bytes",
            field=fields.BigIntField(null=True),
        ),
        ops.AddField(
            model_name="Export",
            name="weight_type",
            field=fields.CharEnumField(
                null=True, description="INT8: INT8", enum_type=WeightType, max_length=16
            ),
        ),
    ]
