"""From a folder and some records to an exported file, over the API alone."""

import hashlib
from pathlib import Path

import pytest

from tests.api.clients import Client
from tests.end_to_end.conftest import StartWorker
from tests.end_to_end.steps import (
    export,
    follow_to_the_end,
    register_model,
    run_pipeline,
    time_of_the_same,
)

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(180)]


async def test_a_model_is_trained_watched_versioned_and_exported(
    admin: Client, start_worker: StartWorker, tiny_model: Path
) -> None:
    await start_worker()
    job = await run_pipeline(admin, await register_model(admin, tiny_model), epochs=3)
    events = await follow_to_the_end(admin, job)

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    moves = [event["to"] for event in events if event["__typename"] == "StatusChanged"]
    assert moves == ["QUEUED", "PREPARING", "TRAINING", "VALIDATING", "COMPLETED"]
    losses = [
        event["metrics"]["trainingLoss"]
        for event in events
        if event["__typename"] == "EpochCompleted"
    ]
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)
    last = events[-1]
    assert (last["__typename"], last["status"], last["error"]) == ("JobFinished", "COMPLETED", None)
    assert last["modelVersion"]["version"] == "v1.0.0"

    middle = len(events) // 2  # who joins late or again misses nothing and sees nothing twice
    assert await follow_to_the_end(admin, job, after=middle) == events[middle:]
    assert await follow_to_the_end(admin, job, after=len(events)) == []

    again, usage = await time_of_the_same(admin, job, epochs=3)
    assert again["method"] == "EARLIER_RUN"
    assert again["total"] == pytest.approx(usage["seconds"], rel=0.2)
    twice, _ = await time_of_the_same(admin, job, epochs=6)
    assert again["training"] < twice["training"] <= 2.1 * again["training"]

    made = await export(admin, last["modelVersion"]["id"])
    assert made["parity"]["tokensEqual"]
    assert made["parity"]["stopTokenRespected"]
    assert made["parity"]["klDivergence"] < 1e-5
    assert made["parity"]["top1Agreement"] >= 0.99
    weights = next(file for file in made["files"] if file["name"] == "model.safetensors")
    downloaded = await admin.http.get(weights["downloadUrl"])
    assert hashlib.sha256(downloaded.content).hexdigest() == weights["sha256"]
