"""Training jobs and what they leave behind: events, epochs, checkpoints."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from jobs.models.base import Base, Leased
from jobs.models.datasets import Dataset
from jobs.models.users import User
from jobs.status import JobStatus

if TYPE_CHECKING:  # a job names its model and a model's version its job: a circle of types only
    from jobs.models.base_models import BaseModel


class TrainingJob(Leased):
    """One asked-for training run, over all its attempts.

    `config` is the whole resolved `TrainingConfig`, of which `devices` is repeated for workers to
    choose by; `log_offset` is how far, in bytes, the child's
    `events.jsonl` has been taken over; `last_seq` numbers the newest event. Losses and accuracies
    are the newest measured; `estimated_time_remaining` is in seconds. `estimate` holds the newest
    attempt's `memory`, a `training.estimates.MemoryEstimate` as JSON, and its `seconds`, null until
    they are told; `usage` its measured `peak_memory_bytes` and `seconds`, and the `worker`'s name,
    once it has ended.
    `dataset` and `validation_dataset` turn null if the dataset is deleted later, so its name, hash
    and number in its line of descent are kept here too; a job without a dataset of its own to test
    with has none of the latter.

    `saves_asked` numbers the requests for a checkpoint, and `saves_passed_on` is the newest that
    the child was told of. A job that starts from trained weights names the job that made them, and
    the version or the checkpoint; a checkpoint may be deleted later, so its name is kept here.
    """

    model: fields.ForeignKeyRelation["BaseModel"] = fields.ForeignKeyField(
        "jobs.BaseModel", related_name="jobs", on_delete=fields.RESTRICT
    )
    model_id: UUID
    dataset: fields.ForeignKeyNullableRelation[Dataset] = fields.ForeignKeyField(
        "jobs.Dataset", related_name="jobs", on_delete=fields.SET_NULL, null=True
    )
    dataset_id: UUID | None
    dataset_name = fields.CharField(max_length=100)
    dataset_sha256 = fields.CharField(max_length=64)
    dataset_version = fields.IntField(default=1, db_default=1)
    validation_dataset: fields.ForeignKeyNullableRelation[Dataset] = fields.ForeignKeyField(
        "jobs.Dataset", related_name="validated_jobs", on_delete=fields.SET_NULL, null=True
    )
    validation_dataset_id: UUID | None
    validation_name = fields.CharField(max_length=100, null=True)
    validation_sha256 = fields.CharField(max_length=64, null=True)
    validation_version: int | None = fields.IntField(null=True)
    config: dict[str, Any] = fields.JSONField()
    devices = fields.IntField(default=1, db_default=1)
    libraries: dict[str, str] = fields.JSONField(default=dict)
    status = fields.CharEnumField(JobStatus, max_length=16, default=JobStatus.QUEUED)
    progress = fields.FloatField(default=0.0, db_default=0.0)
    current_epoch = fields.IntField(default=0, db_default=0)
    total_epochs = fields.IntField()
    step = fields.IntField(default=0, db_default=0)
    total_steps = fields.IntField(null=True)
    training_loss: float | None = fields.FloatField(null=True)
    training_accuracy: float | None = fields.FloatField(null=True)
    validation_loss: float | None = fields.FloatField(null=True)
    validation_accuracy: float | None = fields.FloatField(null=True)
    tokens_per_second: float | None = fields.FloatField(null=True)
    estimated_time_remaining: float | None = fields.FloatField(null=True)
    started_at: datetime | None = fields.DatetimeField(null=True)
    finished_at: datetime | None = fields.DatetimeField(null=True)
    queued_at: datetime = fields.DatetimeField(auto_now_add=True)
    stopped_early = fields.BooleanField(default=False, db_default=False)
    final_epoch: int | None = fields.IntField(null=True)
    samples: list[dict[str, Any]] = fields.JSONField(default=list)
    estimate: dict[str, Any] | None = fields.JSONField(null=True)
    usage: dict[str, Any] | None = fields.JSONField(null=True)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    saves_asked = fields.IntField(default=0, db_default=0)
    saves_passed_on = fields.IntField(default=0, db_default=0)
    start_job_id: UUID | None = fields.UUIDField(null=True)
    start_version_id: UUID | None = fields.UUIDField(null=True)
    start_checkpoint_id: UUID | None = fields.UUIDField(null=True)
    start_name = fields.CharField(max_length=64, null=True)
    log_offset = fields.BigIntField(default=0, db_default=0)
    last_seq = fields.BigIntField(default=0, db_default=0)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="jobs", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "training_jobs"
        indexes = (
            ("owner_id", "created_at"),
            ("status", "lease_expires_at"),
            ("created_at", "id"),
            ("start_checkpoint_id",),
        )


class JobEvent(Model):
    """One line of a job's history.

    `seq` starts at 1 and has no gap; the keys of `data` depend on `kind`.
    """

    id = fields.BigIntField(primary_key=True)
    job: fields.ForeignKeyRelation[TrainingJob] = fields.ForeignKeyField(
        "jobs.TrainingJob", related_name="events", on_delete=fields.CASCADE
    )
    job_id: UUID
    seq = fields.BigIntField()
    attempt = fields.IntField()
    kind = fields.CharField(max_length=32)
    at = fields.DatetimeField()
    data: dict[str, Any] = fields.JSONField()

    class Meta:
        table = "job_events"
        unique_together = (("job", "seq"),)


class Epoch(Model):
    """The measurements of a finished epoch. A repeated epoch overwrites its row."""

    id = fields.BigIntField(primary_key=True)
    job: fields.ForeignKeyRelation[TrainingJob] = fields.ForeignKeyField(
        "jobs.TrainingJob", related_name="epochs", on_delete=fields.CASCADE
    )
    job_id: UUID
    epoch = fields.IntField()
    training_loss = fields.FloatField()
    training_accuracy = fields.FloatField()
    validation_loss: float | None = fields.FloatField(null=True)
    validation_accuracy: float | None = fields.FloatField(null=True)
    duration_seconds = fields.FloatField()

    class Meta:
        table = "epochs"
        unique_together = (("job", "epoch"),)


class Checkpoint(Base):
    """A checkpoint that lies whole in the job's folder under `checkpoints/<name>`.

    `score` is the loss it is judged by, null where it was saved amid an epoch. `requested` is one
    that somebody asked for, which retention leaves alone.
    """

    job: fields.ForeignKeyRelation[TrainingJob] = fields.ForeignKeyField(
        "jobs.TrainingJob", related_name="checkpoints", on_delete=fields.CASCADE
    )
    job_id: UUID
    name = fields.CharField(max_length=64)
    epoch = fields.IntField()
    step = fields.IntField()
    validation_loss: float | None = fields.FloatField(null=True)
    accuracy: float | None = fields.FloatField(null=True)
    score: float | None = fields.FloatField(null=True)
    size_bytes = fields.BigIntField()
    best = fields.BooleanField(default=False)
    requested = fields.BooleanField(default=False, db_default=False)

    class Meta:
        table = "checkpoints"
        unique_together = (("job", "name"),)
