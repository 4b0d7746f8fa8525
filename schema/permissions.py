"""Who may use a root field. Every root field declares one of these; a test walks the schema.

The role says what kind of thing an account may do; which rows it may touch is decided below, in
`jobs.access`.
"""

import inspect
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver

from jobs.access import Role
from jobs.errors import Forbidden
from schema.context import Context

__all__ = ["Public", "Requires"]


class Public(FieldExtension):
    """Anybody may, without a token."""

    async def resolve_async(  # type: ignore[override]  # an argument may be called `source` too
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, /, **kwargs: Any
    ) -> Any:
        return await next_(source, info, **kwargs)


class Requires(FieldExtension):
    """Only a viewer with at least this role."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def resolve_async(  # type: ignore[override]  # an argument may be called `source` too
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, /, **kwargs: Any
    ) -> Any:
        context: Context = info.context
        viewer = await context.authenticate()
        if not viewer.role.includes(self.role):
            raise Forbidden(
                f"{info.field_name} needs the role {self.role.value}; yours is {viewer.role.value}.",
                "Ask an ADMIN.",
            )
        result = next_(source, info, **kwargs)
        return result if inspect.isasyncgen(result) else await result
