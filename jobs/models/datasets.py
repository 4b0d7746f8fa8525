"""Datasets: the row describes, the JSONL file in the artifact store holds."""

from typing import Any
from uuid import UUID

from tortoise import fields

from jobs.models.base import Leased
from jobs.models.users import User
from jobs.status import TaskStatus
from training.config import DataType
from training.data.containers.prose import Division
from training.data.ingest.spec import OnInvalid


class Dataset(Leased):
    """READY once its records are whole, and null in what is not known of them before.

    `mapping`, `statistics` and `error` are a `Mapping`, `Statistics` and `Failure` as JSON, `left_out`
    counts rows by the column that is not in their records. Until it is READY, `mapping` and `data_type`
    may be what was asked for. `rejected` is filled in datasets made before rejected rows had a file.

    It was made of an upload, of which `source_name`, `source_bytes` and `division` tell, or of `hub`, a
    `HubSource` as JSON, or of records that were sent.

    `deleting` is raised first by a deletion and seen by every submission, so that neither can
    pass the other unnoticed.
    """

    name = fields.CharField(max_length=100)
    description = fields.TextField(null=True)
    status = fields.CharEnumField(
        TaskStatus, max_length=16, default=TaskStatus.READY, db_default=TaskStatus.READY
    )
    progress = fields.FloatField(default=100.0, db_default=100.0)
    error: dict[str, Any] | None = fields.JSONField(null=True)
    upload_id: UUID | None = fields.UUIDField(null=True)
    source_name = fields.CharField(max_length=255, null=True)
    source_bytes = fields.BigIntField(null=True)
    division = fields.CharEnumField(
        Division, max_length=16, default=Division.PASSAGES, db_default=Division.PASSAGES
    )
    hub: dict[str, Any] | None = fields.JSONField(null=True)
    on_invalid = fields.CharEnumField(
        OnInvalid, max_length=16, default=OnInvalid.ERROR, db_default=OnInvalid.ERROR
    )
    container = fields.CharField(max_length=16, null=True)
    compression = fields.CharField(max_length=16, null=True)
    mapping: dict[str, Any] | None = fields.JSONField(null=True)
    left_out: dict[str, int] | None = fields.JSONField(null=True)
    data_type = fields.CharEnumField(DataType, max_length=16, null=True)
    record_count = fields.IntField(default=0, db_default=0)
    size_bytes = fields.BigIntField(default=0, db_default=0)
    sha256 = fields.CharField(max_length=64, null=True)
    statistics: dict[str, Any] | None = fields.JSONField(null=True)
    rejected_count = fields.IntField(default=0, db_default=0)
    rejected: list[dict[str, Any]] = fields.JSONField(default=list)
    uses = fields.IntField(default=0, db_default=0)
    deleting = fields.BooleanField(default=False, db_default=False)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "jobs.User", related_name="datasets", on_delete=fields.RESTRICT
    )
    owner_id: UUID

    class Meta:
        table = "datasets"
        indexes = (("owner_id", "created_at"), ("created_at", "id"), ("upload_id",))
