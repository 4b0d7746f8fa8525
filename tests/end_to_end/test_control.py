"""A long run that is saved on demand, paused, resumed by another worker, cancelled, and started from."""

from pathlib import Path
from typing import Any

import pytest

from jobs.artifacts import Artifacts
from jobs.settings import Settings
from schema import ids
from tests.api.clients import Client
from tests.end_to_end.conftest import StartWorker
from tests.end_to_end.steps import (
    Event,
    follow,
    follow_to_the_end,
    known_model,
    run_pipeline,
)

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(180)]

START = """mutation ($input: RunPipelineInput!) { runPipeline(input: $input) {
  ... on TrainingJob { id } ... on Problem { message } } }"""

CLEAN = """mutation ($job: ID!) { cleanupCheckpoints(jobId: $job, keepBest: 1) {
  ... on CleanedCheckpoints { deleted freedBytes kept { name best } } } }"""


async def _steer(user: Client, field: str, job: str) -> None:
    query = f"mutation ($job: ID!) {{ it: {field}(jobId: $job) {{ __typename }} }}"
    answer = await user.data(query, job=job)
    assert answer["it"]["__typename"] == "TrainingJob"


async def test_a_job_is_saved_paused_resumed_cancelled_and_started_from(
    admin: Client, start_worker: StartWorker, tiny_model: Path, settings: Settings
) -> None:
    first_worker = await start_worker()
    job = await run_pipeline(admin, await known_model(admin, tiny_model), epochs=1000)
    seen = await _until(admin, job, 0, "ProgressReported")
    await _steer(admin, "saveCheckpoint", job)
    seen += await _until(admin, job, _seq(seen), "CheckpointSaved", requested=True)
    saved = seen[-1]
    await _steer(admin, "pauseTraining", job)
    seen += await _until(admin, job, _seq(seen), "StatusChanged", to="PAUSED")
    first_worker.terminate()
    await first_worker.wait()
    await start_worker()
    await _steer(admin, "resumeTraining", job)
    seen += await _until(admin, job, _seq(seen), "Resumed")
    newest = max(event["step"] for event in seen if event["__typename"] == "CheckpointSaved")
    assert seen[-1]["step"] == newest >= saved["step"]
    seen += await _until(admin, job, _seq(seen), "ProgressReported")
    await _steer(admin, "cancelTraining", job)
    last = await follow_to_the_end(admin, job, _seq(seen))
    moves = [event["to"] for event in last if event["__typename"] == "StatusChanged"]
    assert moves == ["CANCELLING", "CANCELLED"]
    left = [event["step"] for event in last if event["__typename"] == "CheckpointSaved"]
    assert left[-1] > newest
    seen += last
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert (seen[-1]["status"], seen[-1]["attempt"]) == ("CANCELLED", 2)

    sent = await _input_of(admin, job)
    sent["from"] = {"checkpointId": saved["checkpoint"]["id"]}
    started = (await admin.data(START, input=sent))["runPipeline"]["id"]
    events = await follow_to_the_end(admin, started)
    assert events[-1]["status"] == "COMPLETED"
    (told,) = [event for event in events if event["__typename"] == "StartedFrom"]
    assert (told["source"], told["name"]) == ("CHECKPOINT", saved["name"])

    folder = Artifacts(settings.artifacts).checkpoints(ids.decode(ids.Kind.JOB, job))
    before = _bytes(folder)
    cleaned = (await admin.data(CLEAN, job=job))["cleanupCheckpoints"]
    assert saved["name"] in cleaned["deleted"]
    assert [each["best"] for each in cleaned["kept"]] == [True]
    assert cleaned["freedBytes"] == before - _bytes(folder) > 0
    assert [path.name for path in folder.iterdir()] == [cleaned["kept"][0]["name"]]


async def _until(user: Client, job: str, after: int, kind: str, **fields: Any) -> list[Event]:
    """The events after one, up to the first of a kind with these fields."""
    seen: list[Event] = []
    async for event in follow(user, job, after):
        seen.append(event)
        if event["__typename"] == kind and all(event[key] == fields[key] for key in fields):
            return seen
    raise AssertionError(f"the job ended without {kind}: {seen[-3:]}")


def _seq(seen: list[Event]) -> int:
    return int(seen[-1]["seq"])


async def _input_of(user: Client, job: str) -> dict[str, Any]:
    """A short run on the model and the dataset of another."""
    shown = await user.data(
        "query ($job: ID!) { getTrainingStatus(jobId: $job) { model { id } dataset { id } } }",
        job=job,
    )
    found = shown["getTrainingStatus"]
    return {
        "modelId": found["model"]["id"],
        "datasetId": found["dataset"]["id"],
        "trainingType": "LORA",
        "hyperparameters": {"epochs": 1, "batchSize": 4},
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
