"""Accounts."""

from tortoise import fields

from jobs.access import Role
from jobs.models.base import Base


class User(Base):
    """An account. `token_version` is raised to end every refresh token given out before."""

    email = fields.CharField(max_length=254, unique=True)
    password_hash = fields.CharField(max_length=255)
    role = fields.CharEnumField(Role, max_length=16)
    token_version = fields.IntField(default=0, db_default=0)

    class Meta:
        table = "users"
