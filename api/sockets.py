"""Websockets that cannot hurt: every malformed message and every stuck peer ends its socket."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.websockets import WebSocket
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message

from schema.context import Context

__all__ = ["Socket", "SocketHandler"]

logger = logging.getLogger(__name__)

SEND_SECONDS: Final = 10.0
"""A peer that takes no byte for so long is given up: its buffers are ours."""


class Socket(ASGIWebSocketAdapter):
    """A websocket whose sends end in time."""

    def __init__(self, view: Any, request: WebSocket, response: WebSocket) -> None:
        super().__init__(view, request, response)
        self.lifetime: asyncio.Timeout | None = None

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send; a peer that does not take it in time loses the socket."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await super().send_json(message)
        except TimeoutError as error:
            self._end()
            raise WebSocketDisconnected from error

    def _end(self) -> None:
        if self.lifetime is not None and not self.lifetime.expired():
            self.lifetime.reschedule(0)


class SocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """The protocol, with every message's shape checked before it is acted upon."""

    async def handle(self) -> None:
        """Serve the socket until its peer leaves or is given up."""
        socket = cast("Socket", self.websocket)
        try:
            async with asyncio.timeout(None) as socket.lifetime:
                await super().handle()
        except TimeoutError:
            logger.warning("a websocket was dropped: its peer took nothing for %s s", SEND_SECONDS)
        finally:
            socket.lifetime = None

    async def handle_message(self, message: Message) -> None:
        """Act upon a message of the protocol; any other closes the socket with 4400."""
        fault = _fault(message)
        if fault is not None:
            await self.handle_invalid_message(fault)
            return
        await super().handle_message(message)


def _fault(message: object) -> str | None:
    """Why a message is none of the protocol's, in at most 123 bytes: the limit of a close frame."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return "A message must be an object with a `type`"
    kind = message["type"]
    if kind in ("subscribe", "complete") and not isinstance(message.get("id"), str):
        return "The message needs an `id`"
    if kind not in _KINDS:
        return "Unknown message type"
    return _payload_fault(message.get("payload")) if kind == "subscribe" else None


_KINDS: Final = frozenset({"connection_init", "ping", "pong", "subscribe", "complete"})


def _payload_fault(payload: object) -> str | None:
    if not isinstance(payload, dict) or not isinstance(payload.get("query"), str):
        return "The payload must be an object with a `query`"
    if not isinstance(payload.get("variables"), dict | None):
        return "The payload's `variables` must be an object"
    if not isinstance(payload.get("operationName"), str | None):
        return "The payload's `operationName` must be a string"
    return None
