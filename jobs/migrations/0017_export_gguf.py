from tortoise import migrations
from tortoise.migrations import operations as ops
from training.export.spec import ExportFormat, WeightType
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("jobs", "0016_export_formats")]

    initial = False

    operations = [
        ops.AlterField(
            model_name="Export",
            name="format",
            field=fields.CharEnumField(
                description="SAFETENSORS: SAFETENSORS\nPYTORCH: PYTORCH\nONNX: ONNX\nGGUF: GGUF",
                enum_type=ExportFormat,
                max_length=16,
            ),
        ),
        ops.AlterField(
            model_name="Export",
            name="weight_type",
            field=fields.CharEnumField(
                null=True,
                description="INT8: INT8\nF32: F32\nBF16: BF16\nF16: F16\nQ8_0: Q8_0\nQ6_K: Q6_K\nQ5_K_M: Q5_K_M\nQ4_K_M: Q4_K_M\nQ4_0: Q4_0",
                enum_type=WeightType,
                max_length=16,
            ),
        ),
    ]
