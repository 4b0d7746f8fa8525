"""`tunery up` as a whole: it starts, says so once, survives its parts, and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from api.local.ports import free_port
from tests.api.local.processes import children_of, wait_until
from tests.processes import is_alive

pytestmark = pytest.mark.slow


@contextmanager
def running(home: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """`tunery up` with nothing of ours in its environment."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    up = subprocess.Popen(
        [sys.executable, "-P", "-m", "api.cli", "up", "--home", home, "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield up
    finally:
        if up.poll() is None:
            up.kill()
        up.communicate()


def test_nothing_outlives_a_parent_that_is_killed_and_it_starts_again_and_stops_without_a_trace(
    tmp_path: Path,
) -> None:
    with running(tmp_path, free_port()) as up:
        assert up.stdout is not None
        assert "is ready" in up.stdout.readline()
        started = children_of(up.pid)
        up.kill()
        up.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in started), 30)
    port = free_port()
    with running(tmp_path, port) as up:
        assert up.stdout is not None
        line = up.stdout.readline()
        assert line.startswith(f"Tunery is ready at http://127.0.0.1:{port} · GraphiQL: ")
        assert f"tunery create-user you@example.org --home {tmp_path}" in line
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready").json()["status"] == "ready"
        started = children_of(up.pid)
        assert len(started) == 4  # Redis, its watchdog, API, worker
        up.send_signal(signal.SIGINT)
        assert up.wait(40) == 0
        assert up.stdout.read() == ""
    assert [pid for pid in started if is_alive(pid)] == []
    assert {file.name for file in (tmp_path / "logs").iterdir()} >= {
        "api.log",
        "valkey.log",
        "worker.log",
    }


async def test_what_dies_is_started_again_and_a_second_up_is_refused(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as up:
        assert up.stdout is not None
        assert "is ready" in await asyncio.to_thread(up.stdout.readline)
        with running(tmp_path, free_port()) as second:
            _, problem = await asyncio.to_thread(second.communicate)
        assert second.returncode == 1
        assert f"Error: Tunery is already up on {tmp_path} (process {up.pid}," in problem
        with running(tmp_path / "other", port) as third:
            _, problem = await asyncio.to_thread(third.communicate)
        assert third.returncode == 1
        assert f"Error: Another program listens on port {port} of 127.0.0.1." in problem
        before = children_of(up.pid)
        for pid in before:
            with suppress(ProcessLookupError):  # Redis's watchdog goes by itself once Redis is gone
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(
            wait_until, lambda: is_ready(port) and len(children_of(up.pid)) == 4
        )
        assert not set(children_of(up.pid)) & set(before)


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=2).is_success
    except httpx.HTTPError:
        return False
