"""How a document reaches the server, over HTTP or a websocket, with a token that still holds."""

import ipaddress
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from gql import Client as GraphQLClient
from gql import GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from api.client.documents import REFRESH_TOKEN
from api.client.errors import ClientError, NotLoggedIn, Refused, Unreachable
from api.client.results import Finding, Session

__all__ = ["Connection", "is_loopback"]

TIMEOUT_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0
PING_SECONDS: Final = 20.0
REFRESH_AHEAD: Final = timedelta(seconds=30)
FORBIDDEN_CLOSE: Final = 4403

Answer = dict[str, Any]


class Connection:
    """Open between `open` and `close`; refreshes its token by itself and tells `on_refresh`."""

    def __init__(
        self, url: str, session: Session | None, *, on_refresh: Callable[[Session], None]
    ) -> None:
        self.url = url.rstrip("/")
        self.session = session
        self._on_refresh = on_refresh
        self._graphql = GraphQLClient(
            transport=HTTPXAsyncTransport(
                url=f"{self.url}/graphql",
                timeout=TIMEOUT_SECONDS,
                trust_env=not is_loopback(self.url),
            ),
            execute_timeout=TIMEOUT_SECONDS,
        )
        self._http: AsyncClientSession | None = None
        self._resources = AsyncExitStack()

    async def open(self) -> None:
        """Make ready; nothing is sent yet."""
        self._http = await self._resources.enter_async_context(self._graphql)

    async def close(self) -> None:
        """Let go of the sockets."""
        await self._resources.aclose()

    async def ask(self, document: str, **variables: object) -> Answer:
        """The answer to a query or mutation.

        Raises Refused with the API's code where the server answered with an error, Unreachable
        where there was no answer.
        """
        await self._refresh_if_due()
        try:
            return await self._send(document, variables)
        except NotLoggedIn:
            if not await self._refresh():
                raise
            return await self._send(document, variables)

    async def follow(self, document: str, **variables: object) -> AsyncGenerator[Answer, None]:
        """The answers to a subscription, over one websocket, until the server ends it.

        Raises as `ask` does; Unreachable also where the connection breaks.
        """
        await self._refresh_if_due()
        token = self.session.access_token if self.session else ""
        local = {"proxy": None} if is_loopback(self.url) else {}
        transport = WebsocketsTransport(
            url=f"ws{self.url.removeprefix('http')}/graphql",
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            init_payload={"authorization": f"Bearer {token}"},
            connect_timeout=CONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            pong_timeout=PING_SECONDS,
            connect_args=local,
        )
        request = GraphQLRequest(document, variable_values=variables)
        try:
            async with (
                GraphQLClient(transport=transport) as session,
                aclosing(session.subscribe(request)) as answers,
            ):
                async for answer in answers:
                    yield answer
        except (TransportError, TimeoutError) as error:
            raise self._translated(error) from error

    async def renew(self) -> bool:
        """Get a new token now; False where there is nothing to get it with."""
        return await self._refresh()

    async def _send(self, document: str, variables: Mapping[str, object]) -> Answer:
        if self._http is None:
            raise RuntimeError("the connection is not open")
        headers = {}
        if self.session is not None:
            headers["authorization"] = f"Bearer {self.session.access_token}"
        request = GraphQLRequest(document, variable_values=dict(variables))
        try:
            answer = await self._http.execute(request, extra_args={"headers": headers})
        except (TransportError, TimeoutError) as error:
            raise self._translated(error) from error
        return dict(answer)

    async def _refresh_if_due(self) -> None:
        expires_at = self.session.expires_at if self.session else None
        if expires_at is not None and expires_at < datetime.now(UTC) + REFRESH_AHEAD:
            await self._refresh()

    async def _refresh(self) -> bool:
        if self.session is None or self.session.refresh_token is None:
            return False
        refresh_token = self.session.refresh_token
        self.session = None
        answer = await self._send(REFRESH_TOKEN, {"refreshToken": refresh_token})
        self.session = Session.model_validate(answer["refreshToken"])
        self._on_refresh(self.session)
        return True

    def _translated(self, error: TransportError | TimeoutError) -> ClientError:
        if isinstance(error, TransportQueryError):
            return _refusal(error.errors or [], logged_in=self.session is not None)
        closed = error.__cause__
        if isinstance(closed, ConnectionClosed) and closed.rcvd is not None:
            if closed.rcvd.code == FORBIDDEN_CLOSE:
                return NotLoggedIn("UNAUTHENTICATED", "The token does not hold.", _LOG_IN)
            reason = f" (closed with {closed.rcvd.code} {closed.rcvd.reason})"
        else:
            reason = f" ({error})" if str(error) else ""
        return Unreachable(
            f"No Tunery server answers at {self.url}{reason}.",
            "Start one with: tunery up. Or give another address with --url or TUNERY_URL.",
        )


_LOG_IN: Final = "Log in with: tunery login"


def _refusal(errors: Sequence[object], *, logged_in: bool) -> Refused:
    """The first of the errors that a server answered with."""
    first = errors[0] if errors else {}
    error: Mapping[str, Any] = first if isinstance(first, dict) else {}
    extensions: Mapping[str, Any] = error.get("extensions") or {}
    code = str(extensions.get("code", "ERROR"))
    message = str(error.get("message", "The server refused without a reason."))
    if "correlationId" in extensions:
        message += f" correlationId: {extensions['correlationId']}"
    remedy = extensions.get("remedy")
    if code == "UNAUTHENTICATED":
        return NotLoggedIn(code, message, _LOG_IN if logged_in else remedy)
    findings = [Finding.model_validate(each) for each in extensions.get("findings", ())]
    return Refused(code, message, remedy, findings)


def is_loopback(url: str) -> bool:
    """Whether no proxy can be meant."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
