"""Speaking GraphQL to the server under test, over HTTP and over a websocket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from jobs.access import Viewer
from jobs.models import User
from jobs.service import Service


class Client:
    """One user's view of the server; `as_viewer` gives another's."""

    def __init__(
        self, http: httpx.AsyncClient, service: Service, address: str, token: str | None = None
    ) -> None:
        self.http = http
        self.service = service
        self.address = address
        self.token = token

    async def as_viewer(self, viewer: Viewer) -> "Client":
        user = await User.get(id=viewer.user_id)
        token = self.service.tokens.issue(user).access_token
        return Client(self.http, self.service, self.address, token)

    def with_token(self, token: str) -> "Client":
        return Client(self.http, self.service, self.address, token)

    async def post(self, query: str, **variables: Any) -> httpx.Response:
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        content = json.dumps({"query": query, "variables": variables})
        return await self.http.post("/graphql", content=content, headers=headers)

    async def data(self, query: str, **variables: Any) -> Any:
        """The data of an operation that must not fail."""
        answer = (await self.post(query, **variables)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The only error of an operation that must fail, with HTTP status 200."""
        response = await self.post(query, **variables)
        assert response.status_code == 200
        [error] = response.json()["errors"]
        assert isinstance(error, dict)
        return error

    async def code(self, query: str, **variables: Any) -> str:
        """The code of that error."""
        code = (await self.error(query, **variables))["extensions"]["code"]
        assert isinstance(code, str)
        return code

    @asynccontextmanager
    async def socket(self, payload: Any = None) -> AsyncIterator[ClientConnection]:
        """An acknowledged websocket with this client's token."""
        async with self.bare_socket() as socket:
            if payload is None:
                payload = {"authorization": f"Bearer {self.token}"} if self.token else {}
            await send(socket, type="connection_init", payload=payload)
            assert (await receive(socket))["type"] == "connection_ack"
            yield socket

    @asynccontextmanager
    async def bare_socket(self) -> AsyncIterator[ClientConnection]:
        """A websocket on which nothing was said yet."""
        url = f"ws://{self.address}/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            yield socket


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    message = json.loads(await socket.recv())
    assert isinstance(message, dict)
    return message


async def subscribe(socket: ClientConnection, query: str, **variables: Any) -> None:
    payload = {"query": query, "variables": variables}
    await send(socket, id="1", type="subscribe", payload=payload)


async def values(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """The payloads of one subscription until it is complete; an `error` message fails the test."""
    while (message := await receive(socket))["type"] == "next":
        yield message["payload"]
    assert message["type"] == "complete", message
