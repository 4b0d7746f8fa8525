from tortoise import migrations
from tortoise.migrations import operations as ops
from jobs.access import Role
from jobs.status import JobStatus, TaskStatus, VersionStatus
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from training.config import DataType
from training.export.spec import ExportFormat
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("actor_id", fields.UUIDField(null=True)),
                ("action", fields.CharField(max_length=64)),
                ("subject_kind", fields.CharField(max_length=32)),
                ("subject_id", fields.UUIDField()),
                ("detail", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "audit_entries",
                "app": "jobs",
                "indexes": [Index(fields=["subject_id", "created_at"])],
                "pk_attr": "id",
                "table_description": "One deed, written in the transaction that did it. `actor_id` is null for the service.",
            },
            bases=["Base"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("email", fields.CharField(unique=True, max_length=254)),
                ("password_hash", fields.CharField(max_length=255)),
                (
                    "role",
                    fields.CharEnumField(
                        description="VIEWER: VIEWER\nTRAINER: TRAINER\nADMIN: ADMIN",
                        enum_type=Role,
                        max_length=16,
                    ),
                ),
                ("token_version", fields.IntField(default=0, db_default=0)),
            ],
            options={
                "table": "users",
                "app": "jobs",
                "pk_attr": "id",
                "table_description": "An account. `token_version` is raised to end every refresh token given out before.",
            },
            bases=["Base"],
        ),
        ops.CreateModel(
            name="BaseModel",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("worker_id", fields.CharField(null=True, max_length=64)),
                (
                    "lease_expires_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                ("attempt", fields.IntField(default=0, db_default=0)),
                ("crashes", fields.IntField(default=0, db_default=0)),
                ("name", fields.CharField(unique=True, max_length=100)),
                ("source", fields.CharField(max_length=1024)),
                (
                    "status",
                    fields.CharEnumField(
                        default=TaskStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nREADY: READY\nFAILED: FAILED",
                        enum_type=TaskStatus,
                        max_length=16,
                    ),
                ),
                ("facts", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("version_counter", fields.IntField(default=0, db_default=0)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="base_models",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "base_models",
                "app": "jobs",
                "indexes": [Index(fields=["created_at", "id"])],
                "pk_attr": "id",
                "table_description": "A model that can be trained: READY once a child process has seen that it loads.",
            },
            bases=["Leased"],
        ),
        ops.CreateModel(
            name="Dataset",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("name", fields.CharField(max_length=100)),
                ("description", fields.TextField(null=True, unique=False)),
                (
                    "data_type",
                    fields.CharEnumField(
                        description="TEXT: TEXT\nCODE: CODE\nQA: QA\nCOMPLETION: COMPLETION\nCHAT: CHAT",
                        enum_type=DataType,
                        max_length=16,
                    ),
                ),
                ("record_count", fields.IntField()),
                ("size_bytes", fields.BigIntField()),
                ("sha256", fields.CharField(max_length=64)),
                ("statistics", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("rejected", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("uses", fields.IntField(default=0, db_default=0)),
                ("deleting", fields.BooleanField(default=False, db_default=False)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="datasets",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "datasets",
                "app": "jobs",
                "indexes": [
                    Index(fields=["owner_id", "created_at"]),
                    Index(fields=["created_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "`statistics` is a `training.data.records.Statistics`, `rejected` a list of `Rejected`, as JSON.",
            },
            bases=["Base"],
        ),
        ops.CreateModel(
            name="TrainingJob",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("worker_id", fields.CharField(null=True, max_length=64)),
                (
                    "lease_expires_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                ("attempt", fields.IntField(default=0, db_default=0)),
                ("crashes", fields.IntField(default=0, db_default=0)),
                (
                    "model",
                    fields.ForeignKeyField(
                        "jobs.BaseModel",
                        source_field="model_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="jobs",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "dataset",
                    fields.ForeignKeyField(
                        "jobs.Dataset",
                        source_field="dataset_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="jobs",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("dataset_name", fields.CharField(max_length=100)),
                ("dataset_sha256", fields.CharField(max_length=64)),
                ("config", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("libraries", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                (
                    "status",
                    fields.CharEnumField(
                        default=JobStatus.QUEUED,
                        description="QUEUED: QUEUED\nPREPARING: PREPARING\nTRAINING: TRAINING\nVALIDATING: VALIDATING\nCANCELLING: CANCELLING\nCOMPLETED: COMPLETED\nFAILED: FAILED\nCANCELLED: CANCELLED",
                        enum_type=JobStatus,
                        max_length=16,
                    ),
                ),
                ("progress", fields.FloatField(default=0.0, db_default=0.0)),
                ("current_epoch", fields.IntField(default=0, db_default=0)),
                ("total_epochs", fields.IntField()),
                ("step", fields.IntField(default=0, db_default=0)),
                ("total_steps", fields.IntField(null=True)),
                ("training_loss", fields.FloatField(null=True)),
                ("training_accuracy", fields.FloatField(null=True)),
                ("validation_loss", fields.FloatField(null=True)),
                ("validation_accuracy", fields.FloatField(null=True)),
                ("tokens_per_second", fields.FloatField(null=True)),
                ("estimated_time_remaining", fields.FloatField(null=True)),
                ("started_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "finished_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                ("queued_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("stopped_early", fields.BooleanField(default=False, db_default=False)),
                ("final_epoch", fields.IntField(null=True)),
                ("samples", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("log_offset", fields.BigIntField(default=0, db_default=0)),
                ("last_seq", fields.BigIntField(default=0, db_default=0)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="jobs",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "training_jobs",
                "app": "jobs",
                "indexes": [
                    Index(fields=["owner_id", "created_at"]),
                    Index(fields=["status", "lease_expires_at"]),
                    Index(fields=["created_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "One asked-for training run, over all its attempts.",
            },
            bases=["Leased"],
        ),
        ops.CreateModel(
            name="Checkpoint",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                (
                    "job",
                    fields.ForeignKeyField(
                        "jobs.TrainingJob",
                        source_field="job_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="checkpoints",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(max_length=64)),
                ("epoch", fields.IntField()),
                ("step", fields.IntField()),
                ("validation_loss", fields.FloatField(null=True)),
                ("accuracy", fields.FloatField(null=True)),
                ("size_bytes", fields.BigIntField()),
                ("best", fields.BooleanField(default=False)),
            ],
            options={
                "table": "checkpoints",
                "app": "jobs",
                "unique_together": (("job", "name"),),
                "pk_attr": "id",
                "table_description": "A checkpoint that lies whole in the job's folder under `checkpoints/<name>`.",
            },
            bases=["Base"],
        ),
        ops.CreateModel(
            name="Epoch",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                (
                    "job",
                    fields.ForeignKeyField(
                        "jobs.TrainingJob",
                        source_field="job_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="epochs",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("epoch", fields.IntField()),
                ("training_loss", fields.FloatField()),
                ("training_accuracy", fields.FloatField()),
                ("validation_loss", fields.FloatField(null=True)),
                ("validation_accuracy", fields.FloatField(null=True)),
                ("duration_seconds", fields.FloatField()),
            ],
            options={
                "table": "epochs",
                "app": "jobs",
                "unique_together": (("job", "epoch"),),
                "pk_attr": "id",
                "table_description": "The measurements of a finished epoch. A repeated epoch overwrites its row.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="JobEvent",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                (
                    "job",
                    fields.ForeignKeyField(
                        "jobs.TrainingJob",
                        source_field="job_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="events",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("seq", fields.BigIntField()),
                ("attempt", fields.IntField()),
                ("kind", fields.CharField(max_length=32)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("data", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "job_events",
                "app": "jobs",
                "unique_together": (("job", "seq"),),
                "pk_attr": "id",
                "table_description": "One line of a job's history.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ModelVersion",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                (
                    "model",
                    fields.ForeignKeyField(
                        "jobs.BaseModel",
                        source_field="model_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="versions",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "job",
                    fields.OneToOneField(
                        "jobs.TrainingJob",
                        source_field="job_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="version",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("version", fields.CharField(max_length=32)),
                (
                    "status",
                    fields.CharEnumField(
                        description="TRAINING: TRAINING\nREADY: READY\nACTIVE: ACTIVE\nDEPRECATED: DEPRECATED\nFAILED: FAILED",
                        enum_type=VersionStatus,
                        max_length=16,
                    ),
                ),
                ("accuracy", fields.FloatField(null=True)),
                ("path", fields.CharField(max_length=255)),
                ("config", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("result", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("samples", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="versions",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "model_versions",
                "app": "jobs",
                "unique_together": (("model", "version"),),
                "indexes": [Index(fields=["created_at", "id"])],
                "pk_attr": "id",
                "table_description": "What a completed job made.",
            },
            bases=["Base"],
        ),
        ops.CreateModel(
            name="Export",
            fields=[
                (
                    "id",
                    fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("worker_id", fields.CharField(null=True, max_length=64)),
                (
                    "lease_expires_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                ("attempt", fields.IntField(default=0, db_default=0)),
                ("crashes", fields.IntField(default=0, db_default=0)),
                (
                    "version",
                    fields.ForeignKeyField(
                        "jobs.ModelVersion",
                        source_field="version_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="exports",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "format",
                    fields.CharEnumField(
                        description="SAFETENSORS: SAFETENSORS",
                        enum_type=ExportFormat,
                        max_length=16,
                    ),
                ),
                ("adapter_only", fields.BooleanField(default=False, db_default=False)),
                (
                    "status",
                    fields.CharEnumField(
                        default=TaskStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nREADY: READY\nFAILED: FAILED",
                        enum_type=TaskStatus,
                        max_length=16,
                    ),
                ),
                ("progress", fields.FloatField(default=0.0, db_default=0.0)),
                ("result", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("error", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "jobs.User",
                        source_field="owner_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="exports",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "exports",
                "app": "jobs",
                "indexes": [Index(fields=["status", "lease_expires_at"])],
                "pk_attr": "id",
                "table_description": "READY only after the files were loaded and agreed with the trained model.",
            },
            bases=["Leased"],
        ),
    ]
