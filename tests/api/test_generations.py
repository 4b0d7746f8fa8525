"""Trying versions over the API: streamed, whole, and as OpenAI's clients ask."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.execution.answering import Answerer
from jobs.models import BaseModel, Generation, ModelVersion
from jobs.registry import activation
from jobs.registry.activation import Wish
from jobs.service import Service
from jobs.status import TaskStatus
from schema import ids
from tests.api.clients import Client, subscribe, values
from tests.factories import make_viewer
from tests.jobs.execution.test_tasks import version_of
from tests.jobs.stage import eventually

ROOT = Path(__file__).parents[2]

GENERATE = """subscription($input: GenerateInput!) { generate(input: $input) {
  newText generation { id status text ofBase error { code }
    ending { reason promptTokens answerTokens firstSeconds seconds } } } }"""
ANSWER = """mutation($input: GenerateInput!) { generateAnswer(input: $input) { __typename
  ... on Generation { id status text modelVersion { responseTimeMs } }
  ... on InvalidProblem { findings { code path } } } }"""


@pytest.fixture
async def viewer(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


@pytest.fixture
async def version(service: Service, viewer: Viewer) -> ModelVersion:
    return await version_of(viewer, service)


@pytest.fixture
async def _worker(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Answers what is asked, by a scripted child."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("jobs.execution.answering.MODULE", "tests.jobs.scripted_speaker")
    answerer = Answerer("worker", service.settings, service.artifacts)

    async def work() -> None:
        while True:
            for row in await Generation.filter(status=TaskStatus.QUEUED):
                await answerer.answer(row.id)
            await asyncio.sleep(0.02)

    working = asyncio.create_task(work())
    yield
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await answerer.aclose()


def conversation(version: ModelVersion, told: str, **more: Any) -> dict[str, Any]:
    return {
        "versionId": str(ids.encode(ids.Kind.VERSION, version.id)),
        "messages": [{"role": "USER", "content": told}],
    } | more


@pytest.mark.usefixtures("_worker")
async def test_an_answer_is_streamed_and_its_parts_add_up(
    client: Client, viewer: Viewer, version: ModelVersion
) -> None:
    mine = await client.as_viewer(viewer)
    async with mine.socket() as socket:
        await subscribe(socket, GENERATE, input=conversation(version, "20", ofBase=True))
        updates = [each["data"]["generate"] async for each in values(socket)]
    last = updates[-1]["generation"]
    assert "".join(each["newText"] for each in updates) == last["text"]
    assert last["text"].startswith("0 1 2 3 ")
    assert len(updates) > 2
    assert (last["status"], last["ofBase"], last["error"]) == ("READY", True, None)
    assert last["ending"] == {
        "reason": "STOP",
        "promptTokens": 3,
        "answerTokens": 20,
        "firstSeconds": 0.25,
        "seconds": 1.5,
    }
    node = "query($id: ID!) { node(id: $id) { ... on Generation { text } } getGeneration(id: $id) { id } }"
    found = await mine.data(node, id=last["id"])
    assert found["node"]["text"] == last["text"]
    other = await client.as_viewer(await make_viewer())
    assert (await other.data(node, id=last["id"]))["getGeneration"] is None


@pytest.mark.usefixtures("_worker")
async def test_a_whole_answer_is_waited_for(
    client: Client, viewer: Viewer, version: ModelVersion
) -> None:
    mine = await client.as_viewer(viewer)
    found = (await mine.data(ANSWER, input=conversation(version, "3")))["generateAnswer"]
    assert (found["status"], found["text"][:9]) == ("READY", "0 1 2 by ")
    assert found["modelVersion"]["responseTimeMs"] == 1500.0
    bad = conversation(version, "3", parameters={"topP": 0.0})
    refused = (await mine.data(ANSWER, input=bad))["generateAnswer"]
    assert refused["findings"] == [{"code": "OUT_OF_RANGE", "path": ["parameters", "topP"]}]


@pytest.mark.usefixtures("_worker")
async def test_programs_for_openai_ask_the_version_in_production(
    client: Client, viewer: Viewer, version: ModelVersion
) -> None:
    model = await BaseModel.get(id=version.model_id)
    mine = await client.as_viewer(viewer)
    body: dict[str, Any] = {
        "model": model.name,
        "messages": [{"role": "user", "content": "4"}],
        "max_tokens": 12,
        "frequency_penalty": 0.5,
    }

    async def post(**changes: Any) -> Any:
        headers = {"authorization": f"Bearer {mine.token}"}
        return await mine.http.post(
            "/v1/chat/completions", json=body | changes, headers=headers, timeout=30
        )

    refused = await post()
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "CONFLICT")
    await activation.activate(viewer, version.id, Wish())
    answered = (await post()).json()
    (choice,) = answered["choices"]
    assert choice["message"]["content"].startswith("0 1 2 3 by ")
    assert (choice["finish_reason"], answered["usage"]["total_tokens"]) == ("stop", 7)
    assert (await Generation.all().order_by("-created_at").first()).parameters[  # type: ignore[union-attr]
        "max_new_tokens"
    ] == 12
    streamed = (await post(stream=True)).text.split("\n\n")
    assert streamed[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(each.removeprefix("data: ")) for each in streamed[:-2]]
    parts = [each["choices"][0]["delta"].get("content", "") for each in chunks]
    assert "".join(parts).startswith("0 1 2 3 by ")
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    failed = await post(messages=[{"role": "user", "content": "refuse"}])
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "NO")
    assert (await post(model="nothing")).status_code == 404
    assert (await post(n=2)).status_code == 400
    assert (await mine.http.post("/v1/chat/completions", json=body)).status_code == 401
    looker = await client.as_viewer(await make_viewer(Role.VIEWER))
    headers = {"authorization": f"Bearer {looker.token}"}
    forbidden = await mine.http.post("/v1/chat/completions", json=body, headers=headers)
    assert forbidden.status_code == 403


@pytest.mark.usefixtures("_worker")
async def test_a_stream_that_is_left_is_abandoned(
    client: Client, viewer: Viewer, version: ModelVersion
) -> None:
    model = await BaseModel.get(id=version.model_id)
    await activation.activate(viewer, version.id, Wish())
    mine = await client.as_viewer(viewer)
    body = {"model": model.name, "messages": [{"role": "user", "content": "5000"}], "stream": True}
    headers = {"authorization": f"Bearer {mine.token}"}
    async with mine.http.stream(
        "POST", "/v1/chat/completions", json=body, headers=headers
    ) as answer:
        await anext(answer.aiter_lines())

    async def is_abandoned() -> bool:
        return ((await Generation.get()).error or {}).get("code") == "ABANDONED"

    await eventually(is_abandoned)
