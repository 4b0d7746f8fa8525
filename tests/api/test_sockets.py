"""The websocket's manners: every malformed message, bad token and stuck peer ends one socket."""

import asyncio
import base64
import json
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from api import graphql, sockets
from jobs.models import User
from schema import ids
from tests.api.clients import Client, receive, send, subscribe, values
from tests.api.rows import PROGRESS, happen
from tests.conftest import SECRET
from tests.factories import make_job, make_viewer

EVENTS = "subscription($id: ID!) { trainingEvents(jobId: $id) { seq } }"


async def closing_code(socket: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


@pytest.mark.parametrize(
    "message",
    [
        "[]",
        '"x"',
        "5",
        "null",
        "{}",
        "{",
        "",
        '{"type": 5}',
        '{"type": "nope"}',
        '{"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "1", "payload": "x"}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "operationName": 1}}',
        '{"type": "complete"}',
        "[" * 50_000,
        b"\x00\x01",
    ],
)
async def test_a_message_that_is_none_closes_with_4400_and_no_traceback(
    client: Client, caplog: pytest.LogCaptureFixture, message: str | bytes
) -> None:
    async with client.socket() as socket:
        await socket.send(message)
        assert await closing_code(socket) == 4400
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert await client.data("{ __typename }") == {"__typename": "Query"}


@pytest.mark.parametrize("payload", ["x", [], 5, None])
async def test_an_init_payload_that_is_no_object_closes_with_4400(
    client: Client, payload: Any
) -> None:
    async with client.bare_socket() as socket:
        await send(socket, type="connection_init", payload=payload)
        assert await closing_code(socket) == 4400


async def test_the_protocols_other_offences_have_their_codes(client: Client) -> None:
    async with client.bare_socket() as socket:
        await subscribe(socket, "{ __typename }")
        assert await closing_code(socket) == 4401
    async with client.socket() as socket:
        await send(socket, type="connection_init")
        assert await closing_code(socket) == 4429
    viewer = await make_viewer()
    job = await make_job(viewer, client.service)
    async with (await client.as_viewer(viewer)).socket() as socket:
        for _ in range(2):
            await subscribe(socket, EVENTS, id=ids.encode(ids.Kind.JOB, job.id))
        assert await closing_code(socket) == 4409


async def test_only_the_current_protocol_is_spoken(client: Client) -> None:
    url = f"ws://{client.address}/graphql"
    for protocols in (None, [Subprotocol("graphql-ws")]):
        async with connect(url, subprotocols=protocols) as socket:
            assert await closing_code(socket) == 4406


async def test_a_page_of_another_origin_is_turned_away(client: Client) -> None:
    url = f"ws://{client.address}/graphql"
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(url, origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    assert refusal.value.response.status_code == 403


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    assert graphql.INIT_SECONDS == 10
    monkeypatch.setattr(graphql, "INIT_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
async def test_who_never_introduces_themselves_is_dropped(client: Client) -> None:
    async with client.bare_socket() as socket:
        await send(socket, type="ping")
        assert (await receive(socket))["type"] == "pong"
        assert await closing_code(socket) == 4408


async def test_a_token_that_does_not_hold_closes_with_4403(client: Client) -> None:
    user = await User.get(id=(await make_viewer()).user_id)
    session = client.service.tokens.issue(user)
    now = datetime.now(UTC)
    claims = {"sub": str(user.id), "use": "access", "iat": now, "exp": now - timedelta(seconds=5)}
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for token in (
        "nonsense",
        session.refresh_token,
        jwt.encode(claims, SECRET, "HS256"),
        f"{none}.{session.access_token.split('.')[1]}.",
    ):
        for payload in ({"authorization": f"Bearer {token}"}, {"token": token}):
            async with client.bare_socket() as socket:
                await send(socket, type="connection_init", payload=payload)
                assert await closing_code(socket) == 4403


async def test_the_token_comes_by_payload_or_by_header(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    assert viewer.token is not None
    for payload in (
        {"authorization": f"Bearer {viewer.token}"},
        {"Authorization": f"Bearer {viewer.token}"},
        {"token": viewer.token, "other": 5},
    ):
        async with client.socket(payload) as socket:
            await subscribe(socket, "{ me { role } }")
            assert await receive(socket) == me()
    headers = {"authorization": f"Bearer {viewer.token}"}
    protocols = [Subprotocol("graphql-transport-ws")]
    url = f"ws://{client.address}/graphql"
    async with connect(url, additional_headers=headers, subprotocols=protocols) as socket:
        await send(socket, type="connection_init")
        assert (await receive(socket))["type"] == "connection_ack"
        await subscribe(socket, "{ me { role } }")
        assert await receive(socket) == me()


def me() -> dict[str, Any]:
    return {"id": "1", "type": "next", "payload": {"data": {"me": {"role": "TRAINER"}}}}


async def test_without_a_token_only_what_is_public_works(client: Client) -> None:
    async with client.socket() as socket:
        await subscribe(socket, "{ me { role } }")
        [answer] = [value async for value in values(socket)]
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        await subscribe(socket, EVENTS, id="job_" + "0" * 32)
        message = await receive(socket)
        assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_each_operation_on_a_socket_reads_anew_who_asks(client: Client) -> None:
    viewer = await make_viewer()
    async with (await client.as_viewer(viewer)).socket() as socket:
        for role in ("TRAINER", "VIEWER"):
            await User.filter(id=viewer.user_id).update(role=role)
            await subscribe(socket, "{ me { role } }")
            [answer] = [value async for value in values(socket)]
            assert answer["data"]["me"]["role"] == role


async def test_an_error_in_a_document_ends_its_operation_only(client: Client) -> None:
    async with client.socket() as socket:
        await subscribe(socket, "{ nope }")
        message = await receive(socket)
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        await subscribe(socket, "{ __typename }")
        assert (await receive(socket))["payload"]["data"] == {"__typename": "Query"}


async def test_following_ends_with_the_token(client: Client) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, client.service)
    user = await User.get(id=viewer.user_id)
    now = datetime.now(UTC)
    claims = {"sub": str(user.id), "use": "access", "iat": now, "exp": now + timedelta(seconds=2)}
    short = client.with_token(jwt.encode(claims, SECRET, "HS256"))
    async with short.socket() as socket:
        await subscribe(socket, EVENTS, id=ids.encode(ids.Kind.JOB, job.id))
        answers = [value async for value in values(socket)]
    assert answers[0] == {"data": {"trainingEvents": {"seq": 1}}}
    assert answers[1]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert len(answers) == 2
    assert datetime.now(UTC) < now + timedelta(seconds=5)


async def test_a_peer_that_takes_nothing_is_dropped_and_its_feed_freed(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sockets, "SEND_SECONDS", 0.5)
    owner = await make_viewer()
    viewer = await client.as_viewer(owner)
    job = await make_job(owner, client.service)
    for _ in range(3):
        await happen(job, "WarningRaised", code="X", message="x" * 3_000_000, remedy=None)
    reader, writer = await raw_socket(client.address)
    query = (
        "subscription($id: ID!) { trainingEvents(jobId: $id) { ... on WarningRaised { message } } }"
    )
    for message in (
        {"type": "connection_init", "payload": {"token": viewer.token}},
        {
            "type": "subscribe",
            "id": "1",
            "payload": {"query": query, "variables": {"id": ids.encode(ids.Kind.JOB, job.id)}},
        },
    ):
        writer.write(frame(json.dumps(message).encode()))
    async with asyncio.timeout(10):
        while "a websocket was dropped" not in caplog.text:
            await asyncio.sleep(0.05)
    await happen(job, "Progress", **PROGRESS)
    assert client.service.hub._feeds == {}
    writer.close()
    del reader


async def raw_socket(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket whose reading is ours to leave out."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    assert b"101" in await reader.readline()
    return reader, writer


def frame(content: bytes) -> bytes:
    """A masked text frame; the mask is all zeros."""
    return b"\x81\xfe" + len(content).to_bytes(2, "big") + b"\0\0\0\0" + content
