"""What every resolver is given: the service, who asks, and the operation's loaders."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

import strawberry
from strawberry.extensions import SchemaExtension

from jobs.access import Viewer
from jobs.errors import Unauthenticated
from jobs.service import Service

if TYPE_CHECKING:  # loaders make nodes, whose resolvers take a context: a circle of types only
    from schema.loaders import Loaders

__all__ = ["Context", "Info", "OperationScope", "bearer"]


class Context:
    """One operation's surroundings. The viewer is looked up when a field first asks for it.

    A websocket has one context for the connection, which is never executed against: each operation
    gets its own by `for_operation`, so that neither a viewer nor a loaded row outlives it.
    """

    def __init__(
        self,
        service: Service,
        authorization: str | None,
        *,
        make_loaders: "Callable[[Viewer], Loaders]",
    ) -> None:
        self.service = service
        self.authorization = authorization
        self.connection_params: Mapping[str, object] | None = None
        self._make_loaders = make_loaders
        self._viewer: Viewer | None = None
        self._loaders: Loaders | None = None

    async def authenticate(self) -> Viewer:
        """The viewer that the token names; Unauthenticated without a valid one."""
        if self._viewer is None:
            token = bearer(self.authorization)
            if token is None:
                raise Unauthenticated(
                    "This needs an access token.",
                    "Log in, and send the header `Authorization: Bearer <accessToken>`.",
                )
            self._viewer = await self.service.tokens.viewer(token)
        return self._viewer

    @property
    def viewer(self) -> Viewer:
        """Who asks, below a field that has called `authenticate`."""
        if self._viewer is None:
            raise Unauthenticated("This needs an access token.")
        return self._viewer

    @property
    def loaders(self) -> "Loaders":
        """Loads related things that this viewer may see, one query for all of a kind."""
        if self._loaders is None:
            self._loaders = self._make_loaders(self.viewer)
        return self._loaders

    def forget_rows(self) -> None:
        """Load anew from here on: a subscription's next value must not show older rows."""
        self._loaders = None

    def for_operation(self) -> "Context":
        """A fresh context with the same token."""
        return Context(self.service, self.authorization, make_loaders=self._make_loaders)


Info: TypeAlias = strawberry.Info[Context, None]


class OperationScope(SchemaExtension):
    """Gives each operation a context of its own."""

    def on_operation(self) -> Iterator[None]:
        context = self.execution_context.context
        if isinstance(context, Context):
            self.execution_context.context = context.for_operation()
        yield


def bearer(authorization: str | None) -> str | None:
    """The token in a value like `Bearer abc`; None for any other."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
