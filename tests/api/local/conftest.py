"""What the tests of the laptop mode share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.local.redis_server import RedisServer, find_binary


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A running server of our own."""
    server = RedisServer(find_binary(), tmp_path / "valkey", log=tmp_path / "valkey.log")
    await server.start()
    yield server
    await server.keeper.stop()
