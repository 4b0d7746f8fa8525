"""Nothing is lost: killed workers, killed children, a restarted Redis, a job that is cancelled."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jobs.settings import Settings
from tests.api.clients import Client
from tests.end_to_end.conftest import StartWorker
from tests.end_to_end.steps import Event, follow, run_pipeline
from tests.valkey import Valkey

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(240)]

EPOCHS = 12


async def test_a_killed_worker_loses_nothing(
    admin: Client, start_worker: StartWorker, tiny_model: Path
) -> None:
    worker = await start_worker()

    async def kill() -> None:
        worker.kill()
        await worker.wait()
        await start_worker()

    events = await _train_through(admin, tiny_model, kill)
    assert events[-1]["attempt"] == 2


async def test_a_killed_child_loses_nothing(
    admin: Client, start_worker: StartWorker, tiny_model: Path, settings: Settings
) -> None:
    await start_worker()

    async def kill() -> None:
        os.kill(_child_of(settings), signal.SIGKILL)

    events = await _train_through(admin, tiny_model, kill)
    assert events[-1]["attempt"] == 2
    assert [event["code"] for event in events if event["__typename"] == "WarningRaised"].count(
        "CHILD_CRASHED"
    ) == 1


async def test_a_restarted_redis_loses_nothing(
    admin: Client, start_worker: StartWorker, tiny_model: Path, valkey: Valkey
) -> None:
    worker = await start_worker()

    async def restart() -> None:
        await asyncio.to_thread(valkey.stop)
        await asyncio.sleep(2)
        await asyncio.to_thread(valkey.start)

    events = await _train_through(admin, tiny_model, restart)
    assert events[-1]["attempt"] == 1
    assert worker.returncode is None


async def test_a_cancelled_job_ends_soon_and_leaves_a_checkpoint(
    admin: Client, start_worker: StartWorker, tiny_model: Path
) -> None:
    await start_worker()
    job = await run_pipeline(admin, tiny_model, epochs=1000)
    moves = []
    async for event in follow(admin, job):
        if event["__typename"] == "ProgressReported" and "CANCELLING" not in moves:
            await admin.data(
                "mutation ($job: ID!) { cancelTraining(jobId: $job) { __typename } }", job=job
            )
        if event["__typename"] == "StatusChanged":
            moves.append(event["to"])
    assert moves[-2:] == ["CANCELLING", "CANCELLED"]
    left = await admin.data(
        "query ($job: ID!) { getTrainingStatus(jobId: $job) {"
        " status checkpoints { step } metadata { checkpoints } } }",
        job=job,
    )
    assert left["getTrainingStatus"]["status"] == "CANCELLED"
    assert left["getTrainingStatus"]["metadata"]["checkpoints"] >= 1


async def _train_through(
    user: Client, model: Path, disaster: Callable[[], Awaitable[None]]
) -> list[Event]:
    """Train, let the disaster happen after the second epoch, and see the job complete."""
    job = await run_pipeline(user, model, epochs=EPOCHS)
    events: list[Event] = []
    async for event in follow(user, job):
        events.append(event)
        if event["__typename"] == "EpochCompleted" and event["metrics"]["epoch"] == 2:
            if disaster is not None:
                await disaster()
            disaster = None  # type: ignore[assignment]  # once is enough
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["__typename"], events[-1]["status"]) == ("JobFinished", "COMPLETED")
    epochs = {e["metrics"]["epoch"] for e in events if e["__typename"] == "EpochCompleted"}
    assert epochs == set(range(1, EPOCHS + 1))
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
