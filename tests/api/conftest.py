"""A real server on a free port of the loopback interface, and clients for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from api.app import create_app
from jobs.service import Service
from jobs.settings import Settings
from schema.root import Schema, build_schema
from tests.api.clients import Client
from tests.ingesting import ingesting_worker


@pytest.fixture(scope="session")
def schema() -> Schema:
    """It keeps nothing of an operation, and building it takes longer than most of them."""
    return build_schema()


@pytest.fixture
async def server(
    service: Service, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The address of a server that shares the test's service and event loop."""
    monkeypatch.setattr("api.app.build_schema", lambda: schema)

    @asynccontextmanager
    async def shared(_settings: Settings) -> AsyncIterator[Service]:
        yield service

    app = create_app(service.settings, open_with=shared)
    config = uvicorn.Config(
        app, log_config=None, ws="websockets-sansio", ws_per_message_deflate=False, lifespan="on"
    )
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    while not running.started:
        await asyncio.sleep(0.01)
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    await task
    listener.close()


@pytest.fixture
async def ingesting(service: Service) -> AsyncIterator[None]:
    """A worker that takes in uploads."""
    async with ingesting_worker(service):
        yield


@pytest.fixture
async def client(server: str, service: Service) -> AsyncIterator[Client]:
    """A client that nobody has logged in."""
    async with httpx.AsyncClient(base_url=f"http://{server}") as http:
        yield Client(http, service, server)
