"""A file of many records: sent, taken in by workers of which one is killed half way, and trained on."""

import asyncio
import hashlib
import signal
from pathlib import Path
from typing import Any

import pytest

from jobs.models import Dataset
from jobs.status import TaskStatus
from schema import ids
from tests.api.clients import Client, subscribe, values
from tests.api.sending import create, send
from tests.end_to_end.conftest import StartWorker
from tests.end_to_end.steps import known_model
from training.data.records import canonical_line

pytestmark = [pytest.mark.slow, pytest.mark.redis]

COUNT = 100_000

STATUS = """subscription($id: ID!) { datasetStatus(datasetId: $id) {
  status progress recordCount sha256 error { code message } mapping { format } } }"""
VALIDATE = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
  valid errors { code } steps } }"""


async def test_a_dataset_outlives_the_worker_that_is_making_it(
    admin: Client, start_worker: StartWorker, tiny_model: Path
) -> None:
    lines = [
        canonical_line(
            {"prompt": f"Number {number} is", "completion": f" {number * 7}." + "x" * 90}
        )
        for number in range(COUNT)
    ]
    upload_id = await send(admin, b"".join(lines), "numbers.jsonl")
    first = await start_worker()
    model_id = await known_model(admin, tiny_model)
    begun = await create(admin, upload_id)
    run = {"modelId": model_id, "datasetId": begun["id"], "trainingType": "LORA"}
    told: list[dict[str, Any]] = []
    async with admin.socket() as socket:
        await subscribe(socket, STATUS, id=begun["id"])
        killed = False
        async for payload in values(socket):
            state = payload["data"]["datasetStatus"]
            told.append(state)
            if state["status"] == "RUNNING" and state["progress"] > 10 and not killed:
                unready = (await admin.data(VALIDATE, input=run))["validateConfig"]
                assert [each["code"] for each in unready["errors"]] == ["DATASET_NOT_READY"]
                first.send_signal(signal.SIGKILL)
                await first.wait()
                await start_worker()
                killed = True
    assert killed
    assert told[-1] == {
        "status": "READY",
        "progress": 100.0,
        "recordCount": COUNT,
        "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
        "error": None,
        "mapping": {"format": "PROMPT_COMPLETION"},
    }
    row = await Dataset.get(id=ids.decode(ids.Kind.DATASET, begun["id"]))
    assert (row.status, row.attempt, row.crashes) == (TaskStatus.READY, 2, 1)
    folder = admin.service.artifacts.dataset(row.id)
    names = await asyncio.to_thread(lambda: {path.name for path in folder.iterdir()})
    assert not {name for name in names if name.endswith(".partial")}
    ready = (await admin.data(VALIDATE, input=run))["validateConfig"]
    assert (ready["valid"], ready["errors"]) == (True, [])
