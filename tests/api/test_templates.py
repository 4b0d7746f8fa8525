"""A run's template and what it trains, asked for and shown by the API."""

from typing import Any

import pytest

from jobs.access import Viewer
from jobs.models import BaseModel, TrainingJob
from jobs.service import Service
from schema import ids
from tests.api.clients import Client
from tests.factories import FACTS, make_dataset, make_model, make_viewer
from training.templates.named import NamedTemplate

VALIDATE = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
  valid errors { code path suggestedPatch } warnings { code } resolved { chatTemplate trainOn } } }"""
RUN = """mutation($input: RunPipelineInput!) { runPipeline(input: $input) { __typename } }"""
MODEL = """query($id: ID!) { node(id: $id) { ... on Model {
  hasChatTemplate chatTemplates stopTokens } } }"""


@pytest.fixture
async def viewer(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


@pytest.fixture
async def sent(viewer: Viewer, service: Service) -> dict[str, Any]:
    """A run over a base model that has no template."""
    model = await make_model(viewer)
    lacks = {"has_chat_template": False, "chat_templates": (NamedTemplate.CHATML,)}
    facts = FACTS.model_copy(update=lacks | {"stop_tokens": ("</s>",)})
    await BaseModel.filter(id=model.id).update(facts=facts.model_dump(mode="json"))
    return {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": ids.encode(ids.Kind.DATASET, (await make_dataset(viewer, service)).id),
        "trainingType": "LORA",
    }


async def test_a_missing_template_is_an_error_whose_patch_lets_the_run_start(
    client: Client, viewer: Viewer, sent: dict[str, Any]
) -> None:
    user = await client.as_viewer(viewer)
    found = (await user.data(VALIDATE, input=sent))["validateConfig"]
    patch = {"chatTemplate": "CHATML"}
    assert found["errors"] == [
        {"code": "NO_CHAT_TEMPLATE", "path": ["chatTemplate"], "suggestedPatch": patch}
    ]
    assert not found["valid"]
    assert (await user.data(RUN, input=sent))["runPipeline"]["__typename"] == "InvalidProblem"
    mended = sent | patch | {"trainOn": "LAST_ASSISTANT"}
    found = (await user.data(VALIDATE, input=mended))["validateConfig"]
    assert (found["valid"], found["errors"]) == (True, [])
    assert found["resolved"] == {"chatTemplate": "CHATML", "trainOn": "LAST_ASSISTANT"}
    assert (await user.data(RUN, input=mended))["runPipeline"]["__typename"] == "TrainingJob"
    job = await TrainingJob.get()
    kept = {name: job.config[name] for name in ("chat_template", "train_on")}
    assert kept == {"chat_template": "CHATML", "train_on": "LAST_ASSISTANT"}


async def test_a_text_is_parsed_and_never_run(
    client: Client, viewer: Viewer, sent: dict[str, Any]
) -> None:
    user = await client.as_viewer(viewer)
    for text, valid in (
        ("{{ 'a' * 99999999999 }}{% for i in range(99999) %}{% endfor %}", True),
        ("{% for message in messages %}", False),
    ):
        given = sent | {"chatTemplate": text}
        assert (await user.data(VALIDATE, input=given))["validateConfig"]["valid"] is valid


async def test_a_model_says_what_it_can_write_and_where_it_stops(
    client: Client, viewer: Viewer, sent: dict[str, Any]
) -> None:
    user = await client.as_viewer(viewer)
    assert (await user.data(MODEL, id=sent["modelId"]))["node"] == {
        "hasChatTemplate": False,
        "chatTemplates": ["CHATML"],
        "stopTokens": ["</s>"],
    }
    older = await make_model(viewer)
    unnoted = (await user.data(MODEL, id=ids.encode(ids.Kind.MODEL, older.id)))["node"]
    assert unnoted == {"hasChatTemplate": True, "chatTemplates": None, "stopTokens": None}
