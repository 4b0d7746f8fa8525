"""Workers."""

from datetime import datetime
from typing import Any

from tortoise import fields

from jobs.models.base import Base


class Worker(Base):
    """A worker that says now and then that it is there, and what it has. Gone once it has left.

    `machine` is a `training.devices.machine.Machine` as JSON, null where it is not known;
    `export_formats` the names of those that it can write, null where it does not say.
    """

    name = fields.CharField(max_length=64, unique=True)
    devices = fields.IntField()
    devices_in_use = fields.IntField(default=0, db_default=0)
    slots = fields.IntField()
    machine: dict[str, Any] | None = fields.JSONField(null=True)
    export_formats: list[str] | None = fields.JSONField(null=True)
    seen_at: datetime = fields.DatetimeField()

    class Meta:
        table = "workers"
