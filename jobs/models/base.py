"""What several tables share.

The first line of a table's docstring becomes its comment in the database, where Tortoise's migrations
cannot take a semicolon.
"""

from uuid import uuid4

from tortoise import fields
from tortoise.models import Model


class Base(Model):
    """A row with an opaque id and the time it was made."""

    id = fields.UUIDField(primary_key=True, default=uuid4)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        abstract = True


class Leased(Base):
    """A row that a worker may hold: whose it is and until when, in which attempt."""

    worker_id = fields.CharField(max_length=64, null=True)
    lease_expires_at = fields.DatetimeField(null=True)
    attempt = fields.IntField(default=0, db_default=0)
    crashes = fields.IntField(default=0, db_default=0)

    class Meta:
        abstract = True
