"""Relay-style connections over keyset pages: stable while rows come and go."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Generic, TypeAlias, TypeVar

import strawberry

from jobs.pages import Slice

__all__ = ["After", "Connection", "Edge", "First", "PageInfo", "connection"]

NodeT = TypeVar("NodeT")
RowT = TypeVar("RowT")

First: TypeAlias = Annotated[int, strawberry.argument(description="How many are wanted: 1 to 100.")]
After: TypeAlias = Annotated[
    str | None, strawberry.argument(description="Only those behind this cursor.")
]


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow after this page.")
    has_previous_page: bool = strawberry.field(
        description="Whether this page was asked for with a cursor, and so is not the first."
    )
    start_cursor: str | None = strawberry.field(description="The cursor of the first on this page.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last on this page, to go on from."
    )


@strawberry.type(description="One place in a list.")
class Edge(Generic[NodeT]):
    cursor: str = strawberry.field(description="Names this place, for `after`.")
    node: NodeT = strawberry.field(description="What is in this place.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[NodeT]):
    edges: list[Edge[NodeT]] = strawberry.field(description="The places on this page, in order.")
    page_info: PageInfo = strawberry.field(description="Where this page stands in its list.")
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many there are over all pages; counted when asked for.")
    async def total_count(self) -> int:
        return await self.count()


def connection(
    rows: Slice[RowT], to_node: Callable[[RowT], NodeT], *, after: str | None
) -> Connection[NodeT]:
    """A page of rows as a page of nodes."""
    nodes = [to_node(row) for row in rows.rows]
    return from_nodes(nodes, rows.cursors, has_next=rows.has_next, after=after, count=rows.count)


def from_nodes(
    nodes: Sequence[NodeT],
    cursors: Sequence[str],
    *,
    has_next: bool,
    after: str | None,
    count: Callable[[], Awaitable[int]],
) -> Connection[NodeT]:
    """A page of nodes with a cursor each."""
    edges = [Edge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=has_next,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        ),
        count=count,
    )
