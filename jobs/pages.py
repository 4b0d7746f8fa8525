"""Keyset pages: newest first, stable while rows come and go."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from tortoise.expressions import Q
from tortoise.models import Model
from tortoise.queryset import QuerySet

from jobs.errors import InvalidInput

__all__ = ["Page", "Slice", "newest_first"]

MAX_FIRST = 100
_TIME = "%Y-%m-%dT%H:%M:%S.%f%z"


class _Dated(Protocol):
    id: UUID
    created_at: datetime


@dataclass(frozen=True)
class Page:
    """How many rows are wanted, and after which."""

    first: int = 20
    after: tuple[datetime, UUID] | None = None

    @classmethod
    def of(cls, first: int = 20, after: str | None = None) -> "Page":
        """A page from what a client sent; InvalidInput where it makes no sense."""
        if not 1 <= first <= MAX_FIRST:
            raise InvalidInput.at(
                ["first"],
                f"`first` is {first}, but must be from 1 to {MAX_FIRST}.",
                code="PAGE_SIZE_OUT_OF_RANGE",
                remedy=f"Ask for 1 to {MAX_FIRST} rows and page on with `after`.",
            )
        return cls(first, None if after is None else _decode(after))


RowT = TypeVar("RowT")
ModelT = TypeVar("ModelT", bound=Model)


@dataclass(frozen=True)
class Slice(Generic[RowT]):
    """The rows of one page, a cursor for each, and whether more follow."""

    rows: list[RowT]
    cursors: list[str]
    has_next: bool
    count: Callable[[], Awaitable[int]]
    """Counts the rows over all pages, when called."""


async def newest_first(query: QuerySet[ModelT], page: Page) -> Slice[ModelT]:
    """One page of rows that have `created_at` and `id`, by these, newest first."""
    count = query.count
    if page.after is not None:
        at, row_id = page.after
        query = query.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=row_id))
    rows = await query.order_by("-created_at", "-id").limit(page.first + 1)
    shown = rows[: page.first]
    return Slice(shown, [_encode(row) for row in shown], len(rows) > page.first, count)


def _encode(row: object) -> str:
    dated: _Dated = row  # type: ignore[assignment]  # every listed table derives from Base
    at = dated.created_at.isoformat(timespec="microseconds")
    return base64.urlsafe_b64encode(f"{at}|{dated.id}".encode()).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split("|")
        return datetime.strptime(at, _TIME).astimezone(UTC), UUID(row_id)
    except (ValueError, OverflowError) as error:
        raise InvalidInput.at(
            ["after"],
            f"{cursor!r} is not a cursor of this API.",
            code="BAD_CURSOR",
            remedy="Pass an `endCursor` or an edge's `cursor` as it was given.",
        ) from error
