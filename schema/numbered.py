"""Connections over lists whose places have numbers from 1, such as lines of a file."""

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from jobs.errors import InvalidInput
from jobs.pages import Page
from schema.pagination import Connection, from_nodes

__all__ = ["connection", "start"]

NodeT = TypeVar("NodeT")


def start(first: int, after: str | None) -> int:
    """The number behind which a page begins; InvalidInput for a bad `first` or cursor."""
    Page.of(first)
    if after is None:
        return 0
    try:
        number = int(base64.urlsafe_b64decode(after.encode()).decode())
    except (ValueError, binascii.Error):
        number = -1
    if not 0 <= number < 2**63:
        raise InvalidInput.at(
            ["after"],
            f"{after!r} is not a cursor of this list.",
            code="BAD_CURSOR",
            remedy="Pass an `endCursor` or an edge's `cursor` as it was given.",
        )
    return number


def connection(
    rows: Sequence[tuple[int, NodeT]], *, after: str | None, total: int
) -> Connection[NodeT]:
    """A page of numbered nodes, in order."""

    async def count() -> int:
        return total

    return from_nodes(
        [node for _, node in rows],
        [base64.urlsafe_b64encode(str(number).encode()).decode() for number, _ in rows],
        has_next=bool(rows) and rows[-1][0] < total,
        after=after,
        count=count,
    )
