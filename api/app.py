"""The web application: GraphQL, uploads, downloads, health."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

from api import completions, downloads, health, refusals, uploads
from api.graphql import GraphQLEndpoint
from api.middleware import RequestLog
from jobs.service import Service, open_service
from jobs.settings import Settings
from schema.root import build_schema

__all__ = ["create_app"]


def create_app(
    settings: Settings,
    *,
    open_with: Callable[[Settings], AbstractAsyncContextManager[Service]] = open_service,
) -> Starlette:
    """The application; it opens the service when it starts and closes it when it stops.

    The database must have been migrated. Redis may be away: `/health/ready` says so. `open_with`
    lets a process that holds a service already share it.
    """
    opened = _Opened()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with open_with(settings) as service:
            opened.service = service
            yield

    graphql = GraphQLEndpoint(
        build_schema(),
        service=opened.get,
        graphiql=settings.environment == "development",
        max_body_bytes=settings.max_body_bytes,
    )
    return Starlette(
        routes=[
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            *health.routes(opened.get),
            *downloads.routes(opened.get),
            *completions.routes(opened.get),
            *uploads.routes(opened.get),
        ],
        middleware=[Middleware(RequestLog)],
        exception_handlers=refusals.HANDLERS,
        lifespan=lifespan,
    )


class _Opened:
    """The service between start-up and shutdown: routes are made before it exists."""

    service: Service | None = None

    def get(self) -> Service:
        if self.service is None:
            raise RuntimeError("the application was called before its lifespan started")
        return self.service
