"""GraphQL over HTTP POST and over websockets (graphql-transport-ws)."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.unset import UNSET, UnsetType

from api.auth import authorization_in
from api.middleware import OPERATION
from api.refusals import refusal
from api.sockets import Socket, SocketHandler
from jobs.errors import Unauthenticated
from jobs.service import Service
from schema.context import Context
from schema.loaders import Loaders
from schema.root import Schema

__all__ = ["GraphQLEndpoint"]

INIT_SECONDS: Final = 10
OPERATIONS_PER_SOCKET: Final = 100
_GRAPHQL_JSON: Final = "application/graphql-response+json"
_NAMED: Final = re.compile(r"(?:query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]{0,63})")


class GraphQLEndpoint(GraphQL[Context, None]):
    """Strawberry's view with our limits: POST only, JSON objects only, one socket protocol."""

    websocket_adapter_class = Socket
    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: Schema,
        *,
        service: Callable[[], Service],
        graphiql: bool,
        max_body_bytes: int,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if graphiql else None,
            allow_queries_via_get=False,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
            max_subscriptions_per_connection=OPERATIONS_PER_SOCKET,
        )
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; what strawberry refuses as plain text becomes JSON."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(Request(scope, self._limited(scope, receive)))
        except HTTPException as error:
            response = refusal(error.status_code, error.reason or "This cannot be answered.")
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body's messages, until there are too many bytes of them."""
        announced = Headers(scope=scope).get("content-length", "")
        left = self._max_body_bytes

        async def receive_limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_large
            return message

        too_large = HTTPException(413, f"The body has more than {self._max_body_bytes} bytes.")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            raise too_large
        return receive_limited

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002  # strawberry passes it by name
    ) -> Context:
        """The surroundings of one HTTP request, or of a websocket's operations."""
        authorization = request.headers.get("authorization")
        return Context(self._service(), authorization, make_loaders=Loaders)

    async def on_ws_connect(self, context: Context) -> UnsetType:
        """Take the token from `connection_init`; one that does not hold closes the socket, 4403."""
        context.authorization = authorization_in(context.connection_params) or context.authorization
        if context.authorization is not None:
            try:
                await context.for_operation().authenticate()
            except Unauthenticated as error:
                raise ConnectionRejectionError from error
        unset: UnsetType = UNSET
        return unset

    def is_request_allowed(self, request: BaseRequestProtocol) -> bool:
        """Only POST, and a browser that wants GraphiQL in development."""
        shows_ide = self.graphql_ide is not None and self.should_render_graphql_ide(request)
        return request.method == "POST" or shows_ide

    def decode_json(self, data: str | bytes) -> object:
        """JSON, or `JSONDecodeError` for all that is none."""
        try:
            return json.loads(data)
        except (RecursionError, UnicodeDecodeError) as error:
            raise json.JSONDecodeError("cannot be decoded", "", 0) from error

    def parse_json(self, data: str | bytes) -> Any:
        """A body that is a JSON object, or an array for the refusal of batches."""
        parsed = super().parse_json(data)
        if not isinstance(parsed, dict | list):
            raise HTTPException(400, "The body must be a JSON object")
        return parsed

    async def parse_http_body(
        self, request: AsyncHTTPRequestAdapter
    ) -> GraphQLRequestData | list[GraphQLRequestData]:
        """The request, with the one type checked that strawberry leaves unchecked."""
        data = await super().parse_http_body(request)
        if isinstance(data, GraphQLRequestData) and not isinstance(data.operation_name, str | None):
            raise HTTPException(400, "`operationName` must be a string or null, if provided.")
        return data

    async def execute_single(self, request: Request, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Execute, and leave the operation's name for the log."""
        data: GraphQLRequestData = kwargs["request_data"]
        request.scope[OPERATION] = _operation_name(data)
        return await super().execute_single(request, *args, **kwargs)

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Remember the media type that the client prefers."""
        response = await super().get_sub_response(request)
        if _GRAPHQL_JSON in request.headers.get("accept", ""):
            response.media_type = _GRAPHQL_JSON
        return response

    async def process_result(
        self, request: Request, result: ExecutionResult
    ) -> GraphQLHTTPResponse:
        """The response body; without `data` where nothing was executed, which is not the same as null."""
        response = await super().process_result(request, result)
        if result.data is None and result.errors and all(not e.path for e in result.errors):
            del response["data"]
        return response

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        """The response; `application/graphql-response+json` has a status that tells of failure."""
        response = super().create_response(response_data, sub_response)
        if sub_response.media_type == _GRAPHQL_JSON:
            response.headers["content-type"] = f"{_GRAPHQL_JSON}; charset=utf-8"
            if "data" not in response_data:
                response.status_code = 400
        return response


def _operation_name(data: GraphQLRequestData) -> str:
    """A name for the log, safe to print: as sent if it is a name, else as in the document."""
    for text in (f"query {data.operation_name}" if data.operation_name else "", data.query or ""):
        named = _NAMED.match(text.lstrip())
        if named:
            return named[1]
    return "anonymous"
