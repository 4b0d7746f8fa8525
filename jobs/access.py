"""Who may see and touch what.

| role    | own things  | others' things | base models     | accounts |
|---------|-------------|----------------|-----------------|----------|
| ADMIN   | read, write | read, write    | read, register  | manage   |
| TRAINER | read, write | -              | read, register  | -        |
| VIEWER  | read        | -              | read            | -        |
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from tortoise.models import Model
from tortoise.queryset import QuerySet

Row = TypeVar("Row", bound=Model)


class Role(StrEnum):
    """What an account may do, least first."""

    VIEWER = "VIEWER"
    TRAINER = "TRAINER"
    ADMIN = "ADMIN"

    def includes(self, other: "Role") -> bool:
        """Whether this role may do all that `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Viewer:
    """The account a request is made for, until its token expires."""

    user_id: UUID
    email: str
    role: Role
    expires_at: datetime | None = None


def visible(viewer: Viewer, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Only those rows that the viewer may see: all for an ADMIN, else those they own."""
    if viewer.role is Role.ADMIN:
        return rows
    return rows.filter(owner_id=viewer.user_id)
