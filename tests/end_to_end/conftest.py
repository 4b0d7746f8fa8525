"""The whole chain with nothing faked: HTTP and websocket, SQLite, Valkey, workers, real training."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from jobs.access import Role
from jobs.settings import Settings
from tests.api.clients import Client
from tests.api.conftest import client, schema, server
from tests.factories import make_viewer
from tests.tiny_model import make_tiny_model

__all__ = ["client", "schema", "server"]

WORKER = """
import asyncio, logging
from jobs.settings import Settings
from jobs.worker import run_worker
logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s")
asyncio.run(run_worker(Settings()))
"""

StartWorker = Callable[..., Coroutine[None, None, asyncio.subprocess.Process]]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder that trains in seconds."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Leases that lapse soon, so that tests need not wait long."""
    return settings.model_copy(update={"lease_seconds": 3.0, "sweep_seconds": 1})


@pytest.fixture
async def start_worker(settings: Settings) -> AsyncIterator[StartWorker]:
    """Starts worker processes, and ends those that are left."""
    started: list[asyncio.subprocess.Process] = []
    environment = os.environ | {
        "TUNERY_HOME": str(settings.home),
        "TUNERY_REDIS_URL": settings.redis_url,
        "TUNERY_SECRET": settings.secret.get_secret_value(),
        "TUNERY_LEASE_SECONDS": str(settings.lease_seconds),
        "TUNERY_SWEEP_SECONDS": str(settings.sweep_seconds),
        "TUNERY_WORKER_DEVICES": str(settings.worker_devices),
        "HF_HUB_OFFLINE": "1",
    }

    async def start(**changes: str) -> asyncio.subprocess.Process:
        with (settings.home / f"worker-{len(started)}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", WORKER),
                env=environment | changes,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


@pytest.fixture
async def admin(client: Client) -> Client:
    """A client logged in as an ADMIN."""
    return await client.as_viewer(await make_viewer(Role.ADMIN))
