"""What a user does, one step a function."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jobs.models import BaseModel
from jobs.status import TaskStatus
from schema import ids
from tests.api.clients import Client, subscribe, values
from training.models.facts import ModelFacts
from training.models.inspection import inspect

RECORDS = [
    {"question": f"What colour is the {thing}?", "answer": f"The {thing} is {colour}."}
    for thing in ("sky", "sea", "sun", "sand", "leaf", "stone", "rose", "snow")
    for colour in ("blue", "green", "gold", "white", "red")
]

EVENTS = """
subscription ($job: ID!, $after: Int!) {
  trainingEvents(jobId: $job, afterSeq: $after) {
    __typename seq attempt
    ... on StatusChanged { from to reason }
    ... on ProgressReported { step loss }
    ... on EpochCompleted { metrics { epoch trainingLoss validationLoss } }
    ... on CheckpointSaved { name step requested checkpoint { id } }
    ... on StartedFrom { source name }
    ... on Resumed { step }
    ... on WarningRaised { code message }
    ... on JobFinished { status error { code message } modelVersion { id version } }
  }
}
"""

Event = Mapping[str, Any]


async def register_model(user: Client, folder: Path) -> str:
    """Register a folder and wait until it was looked at; the model's id."""
    registered = await user.data(
        'mutation ($source: String!) { registerModel(name: "tiny", source: $source) {'
        " ... on Model { id } ... on Problem { message } } }",
        source=str(folder),
    )
    model = registered["registerModel"]["id"]
    looked = "query ($id: ID!) { node(id: $id) { ... on Model { status error { message } } } }"
    return await _until_ready(user, looked, model)


async def known_model(user: Client, folder: Path) -> str:
    """A model that was looked at before, for tests of what comes after; its id."""
    me = (await user.data("{ me { id } }"))["me"]["id"]
    row = await BaseModel.create(
        name="tiny",
        source=str(folder),
        status=TaskStatus.READY,
        facts=(await asyncio.to_thread(_facts, folder)).model_dump(mode="json"),
        owner_id=ids.decode(ids.Kind.USER, me),
    )
    return ids.encode(ids.Kind.MODEL, row.id)


@cache
def _facts(folder: Path) -> ModelFacts:
    return inspect(str(folder))


async def create_dataset(user: Client) -> str:
    """A small dataset of questions and answers; its id."""
    created = await user.data(
        "mutation ($input: CreateDatasetInput!) { createDataset(input: $input) {"
        " ... on Dataset { id } ... on Problem { message } } }",
        input={"name": "colours", "dataType": "QA", "source": {"records": RECORDS}},
    )
    return str(created["createDataset"]["id"])


async def run_pipeline(
    user: Client, model: str, placement: Mapping[str, Any] | None = None, **hyperparameters: Any
) -> str:
    """Create a dataset and submit; the job's id. `placement` says on which devices."""
    submitted = await user.data(
        "mutation ($input: RunPipelineInput!) { runPipeline(input: $input) {"
        " ... on TrainingJob { id } ... on Problem { message } } }",
        input={
            "modelId": model,
            "datasetId": await create_dataset(user),
            "trainingType": "LORA",
            "hyperparameters": {"learningRate": 5e-3, "batchSize": 4, **hyperparameters},
            "samplePrompts": ["What colour is the sky?"],
            **(placement or {}),
        },
    )
    return str(submitted["runPipeline"]["id"])


async def follow(user: Client, job: str, after: int = 0) -> AsyncIterator[Event]:
    """The job's events from the websocket, until the last."""
    async with user.socket() as socket:
        await subscribe(socket, EVENTS, job=job, after=after)
        async for payload in values(socket):
            yield payload["data"]["trainingEvents"]


async def follow_to_the_end(user: Client, job: str, after: int = 0) -> list[Event]:
    """All of them."""
    return [event async for event in follow(user, job, after)]


async def export(user: Client, version: str) -> Mapping[str, Any]:
    """Export a version as SafeTensors, and wait for the proof."""
    asked = await user.data(
        "mutation ($version: ID!) { exportModel(input: {modelVersionId: $version,"
        " format: SAFETENSORS}) { ... on Export { id } ... on Problem { message } } }",
        version=version,
    )
    state = "query ($id: ID!) { node(id: $id) { ... on Export { status error { code message } } } }"
    ready = await _until_ready(user, state, asked["exportModel"]["id"])
    shown = await user.data(
        "query ($id: ID!) { getExport(id: $id) { sizeBytes sha256 files { name sizeBytes sha256"
        " downloadUrl } parity { tokensEqual klDivergence top1Agreement stopTokenRespected } } }",
        id=ready,
    )
    result: Mapping[str, Any] = shown["getExport"]
    return result


async def time_of_the_same(
    user: Client, job: str, *, epochs: int
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What is told of a run like a job, for so many epochs; and what the job itself did need."""
    found = await user.data(
        "query ($job: ID!) { getTrainingStatus(jobId: $job) { model { id } dataset { id }"
        " usage { seconds } } }",
        job=job,
    )
    done = found["getTrainingStatus"]
    told = await user.data(
        "query ($input: RunPipelineInput!) { validateConfig(input: $input) {"
        " time { method training total } } }",
        input={
            "modelId": done["model"]["id"],
            "datasetId": done["dataset"]["id"],
            "trainingType": "LORA",
            "hyperparameters": {"learningRate": 5e-3, "batchSize": 4, "epochs": epochs},
            "samplePrompts": ["What colour is the sky?"],
        },
    )
    return told["validateConfig"]["time"], done["usage"]


async def _until_ready(user: Client, query: str, node: str) -> str:
    while True:
        state = (await user.data(query, id=node))["node"]
        if state["status"] == "READY":
            return node
        assert state["status"] in ("QUEUED", "RUNNING"), state
        await asyncio.sleep(0.1)
