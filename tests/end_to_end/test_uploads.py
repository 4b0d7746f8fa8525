"""A large file, sent to a server process that is killed half way: nothing is lost, and little held."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from api.client import Client
from api.client.uploads import fingerprint, send
from api.local.ports import free_port
from jobs.models import Upload
from jobs.service import Service
from jobs.status import UploadStatus
from tests.api.client.sessions import session_of
from tests.factories import make_viewer
from tests.jobs.stage import as_environment, eventually

pytestmark = [pytest.mark.slow, pytest.mark.redis]

SIZE = 200_000_000
KILLED_AT = 120_000_000
MORE_BYTES = 24_000_000
"""What the process may come to hold beyond what it holds when it has started."""


@asynccontextmanager
async def serving(service: Service, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server process that answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "api.cli", "serve", "--port", str(port)),
        env=os.environ | as_environment(service.settings),
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"http://127.0.0.1:{port}/health/ready")).is_success
        except httpx.TransportError:
            return False

    try:
        await eventually(answers, 20.0)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def memory(process: asyncio.subprocess.Process, name: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
async def test_a_large_file_survives_a_kill_of_its_server_in_bounded_memory(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "large.bin"
    with file.open("wb") as sink:
        for _ in range(SIZE // 1_000_000):
            sink.write(os.urandom(1_000_000))
    viewer, port = await make_viewer(), free_port()
    url = f"http://127.0.0.1:{port}"
    told: list[int] = []
    half = asyncio.Event()

    def progress(done: int) -> None:
        told.append(done)
        if done >= KILLED_AT:
            half.set()

    async with serving(service, port) as first:
        async with Client(url, await session_of(viewer, service)) as client:
            upload = await client.create_upload(file.name, *await fingerprint(file))
        before = memory(first, "VmRSS")
        sending = asyncio.create_task(send(url, upload, file, on_progress=progress))
        await half.wait()
        assert memory(first, "VmHWM") - before < MORE_BYTES
        first.kill()
        await first.wait()
    kept = (await Upload.get()).received_bytes
    async with serving(service, port) as second:
        before = memory(second, "VmRSS")
        half.clear()
        await sending
        assert memory(second, "VmHWM") - before < MORE_BYTES
    row = await Upload.get()
    assert (row.status, row.received_bytes, row.sha256) == (
        UploadStatus.READY,
        SIZE,
        upload.sha256,
    )
    assert KILLED_AT - 2 * 16 * 1024 * 1024 < kept < SIZE
    assert kept in told
