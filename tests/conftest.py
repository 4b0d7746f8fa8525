"""Fixtures of every floor: a real Valkey, a freshly migrated SQLite file, an opened service."""

import asyncio
import gc
import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from api.local.redis_server import find_binary
from jobs.database import migrate
from jobs.service import Service, open_service
from jobs.settings import Settings
from tests.valkey import Valkey
from training.engine.native.library import library

SECRET = "a secret for tests only, long enough to be taken"


def pytest_sessionstart() -> None:
    """Compile the kernels for this machine, where they never were, before many children would at once."""
    library()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import all that is tested without looking for garbage, and never look at it again: of half a
    million objects each look takes as long as several tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server of the tests' own on a free port of the loopback interface."""
    server = Valkey(find_binary(), tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every migration applied, to be copied."""
    home = tmp_path_factory.mktemp("migrated")
    asyncio.run(migrate(Settings(home=home, secret=SECRET)))
    return home / "tunery.db"


@pytest.fixture
def settings(tmp_path: Path, valkey: Valkey, migrated_database: Path) -> Settings:
    """A fresh home with a migrated database, and an empty Redis."""
    valkey.flush()
    shutil.copy(migrated_database, tmp_path / "tunery.db")
    return Settings(
        home=tmp_path, secret=SECRET, redis_url=valkey.url, environment="development", port=0
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    """Everything an API process holds open."""
    async with open_service(settings) as opened:
        yield opened
