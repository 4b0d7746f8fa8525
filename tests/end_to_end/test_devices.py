"""A job for two devices, from the API to its model."""

from pathlib import Path

import pytest

from jobs.settings import Settings
from tests.api.clients import Client
from tests.end_to_end.conftest import StartWorker
from tests.end_to_end.steps import follow, register_model, run_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(180)]

WORKERS = "{ listWorkers { edges { node { devices devicesInUse slots } } } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Workers with two devices."""
    return settings.model_copy(update={"worker_devices": 2})


async def test_a_job_waits_aloud_for_a_worker_with_its_devices_and_is_one_run(
    admin: Client, start_worker: StartWorker, tiny_model: Path
) -> None:
    with_one = {"TUNERY_WORKER_DEVICES": "1"}
    await start_worker(**with_one)  # it looks at the model
    placement = {"devices": 2, "sharding": "FULL"}
    model = await register_model(admin, tiny_model)
    job = await run_pipeline(admin, model, placement, epochs=2)
    await start_worker()
    events, seen = [], []
    async for event in follow(admin, job):
        events.append(event)
        if event["__typename"] == "EpochCompleted":
            edges = (await admin.data(WORKERS))["listWorkers"]["edges"]
            seen.append({(edge["node"]["devices"], edge["node"]["devicesInUse"]) for edge in edges})
    warned = [event["code"] for event in events if event["__typename"] == "WarningRaised"]
    assert warned[0] == "NO_WORKER_HAS_DEVICES"
    assert warned[1:] in ([], ["VALIDATION_NEAR_LEAK"])  # if the records were examined in time
    moves = [event["to"] for event in events if event["__typename"] == "StatusChanged"]
    assert moves == ["QUEUED", "PREPARING", "TRAINING", "VALIDATING", "COMPLETED"]
    metrics = [event["metrics"] for event in events if event["__typename"] == "EpochCompleted"]
    assert [each["epoch"] for each in metrics] == [1, 2]
    assert metrics[0]["trainingLoss"] > metrics[1]["trainingLoss"]
    assert seen == [{(1, 0), (2, 2)}] * 2
    assert events[-1]["error"] is None
