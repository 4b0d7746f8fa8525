from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.status import JobStatus
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Checkpoint",
            name="requested",
            field=fields.BooleanField(default=False, db_default=False),
        ),
        ops.AddField(
            model_name="Checkpoint",
            name="score",
            field=fields.FloatField(null=True),
        ),
        ops.AlterField(
            model_name="TrainingJob",
            name="status",
            field=fields.CharEnumField(
                default=JobStatus.QUEUED,
                description="QUEUED: QUEUED\nPREPARING: PREPARING\nTRAINING: TRAINING\nVALIDATING: VALIDATING\nPAUSING: PAUSING\nPAUSED: PAUSED\nCANCELLING: CANCELLING\nCOMPLETED: COMPLETED\nFAILED: FAILED\nCANCELLED: CANCELLED",
                enum_type=JobStatus,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="saves_asked",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="saves_passed_on",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="start_checkpoint_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="start_job_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="start_name",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddField(
            model_name="TrainingJob",
            name="start_version_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddIndex(
            model_name="TrainingJob",
            index=Index(fields=["start_checkpoint_id"]),
        ),
    ]
