"""Nothing is lost of a job whose child, worker and Redis go away under it, one after the other."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jobs.settings import Settings
from tests.api.clients import Client
from tests.end_to_end.conftest import StartWorker
from tests.end_to_end.steps import Event, follow, known_model, run_pipeline
from tests.valkey import Valkey

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(240)]

EPOCHS = 30
"""So many that none of the disasters comes too late for the child that goes on meanwhile."""

Disaster = Callable[[], Awaitable[None]]


async def test_a_killed_child_a_killed_worker_and_a_restarted_redis_lose_nothing(
    admin: Client,
    start_worker: StartWorker,
    tiny_model: Path,
    settings: Settings,
    valkey: Valkey,
) -> None:
    workers = [await start_worker()]

    async def kill_the_child() -> None:
        os.kill(_child_of(settings), signal.SIGKILL)

    async def kill_the_worker() -> None:
        assert workers[0].returncode is None
        workers[0].kill()
        await workers[0].wait()
        workers.append(await start_worker())

    async def restart_redis() -> None:
        await asyncio.to_thread(valkey.stop)
        await asyncio.sleep(2)
        await asyncio.to_thread(valkey.start)

    job = await run_pipeline(admin, await known_model(admin, tiny_model), epochs=EPOCHS)
    disasters = {2: kill_the_child, 11: kill_the_worker, 20: restart_redis}
    events = await _follow_through(admin, job, disasters)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["__typename"], events[-1]["status"]) == ("JobFinished", "COMPLETED")
    metrics = [e["metrics"]["epoch"] for e in events if e["__typename"] == "EpochCompleted"]
    assert set(metrics) == set(range(1, EPOCHS + 1))
    resumed = [event["attempt"] for event in events if event["__typename"] == "Resumed"]
    assert (resumed, events[-1]["attempt"]) == ([2, 3], 3)  # Redis is nothing to start again for
    warned = [event["code"] for event in events if event["__typename"] == "WarningRaised"]
    assert warned.count("CHILD_CRASHED") == 1
    assert workers[1].returncode is None


async def _follow_through(user: Client, job: str, disasters: dict[int, Disaster]) -> list[Event]:
    """Follow a job to its end, and let each disaster happen once the epoch of its number is told."""
    events: list[Event] = []
    async for event in follow(user, job):
        events.append(event)
        if event["__typename"] == "EpochCompleted" and event["metrics"]["epoch"] in disasters:
            await disasters.pop(event["metrics"]["epoch"])()
    assert disasters == {}
    return events


def _child_of(settings: Settings) -> int:
    """The process that trains under this test's home."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "training.run" in command and any(str(settings.home) in part for part in command):
                return int(folder.name)
    raise AssertionError("no child trains")
