"""What `validateConfig` advises, followed over the API; and that starting a run says the same."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from jobs.fleet.workers import say_present
from jobs.models import TrainingJob
from schema import ids
from tests.api.clients import Client
from tests.factories import make_dataset, make_model, make_viewer
from training.devices.machine import Machine
from training.findings import merge

FINDING = "{ severity code path message remedy suggestedPatch }"
VALIDATE = f"""query($input: RunPipelineInput!) {{ validateConfig(input: $input) {{
  valid errors {FINDING} warnings {FINDING} recommendations {FINDING}
  resolved {{ epochs learningRate batchSize validationSplit earlyStopping {{ enabled }} }}
  time {{ preparing training validating total factor method }} timeUnknown }} }}"""
RUN = f"""mutation($input: RunPipelineInput!) {{ runPipeline(input: $input) {{ __typename
  ... on InvalidProblem {{ findings {FINDING} }} }} }}"""
START = f"""mutation($input: StartTrainingInput!) {{ startTraining(input: $input) {{ __typename
  ... on TrainingJob {{ config {{ epochs learningRate batchSize validationSplit
  earlyStopping {{ enabled }} }} }} ... on InvalidProblem {{ findings {FINDING} }} }} }}"""
ROUNDS = 5
MACHINE = Machine(
    device="cpu",
    bfloat16=False,
    threads=2,
    available_bytes=8_000_000_000,
    operations_per_second=1e11,
)

HYPERPARAMETERS: Mapping[str, list[Any]] = {
    "learningRate": [-1.0, 1e-6, 2e-4, 1e-3, 0.01],
    "batchSize": [0, 1, 8, 64, 5000],
    "epochs": [0, 1, 3, 30, 10**9],
    "warmupSteps": [-1, 0, 20, 10**6],
    "maxSteps": [None, 0, 3, 10**6],
    "weightDecay": [0.0, 0.1, 2.0],
    "gradientAccumulationSteps": [0, 1, 30],
    "optimizer": ["ADAMW", "PAGED_ADAMW_8BIT"],
    "loraRank": [0, 4, 16, 1024],
    "loraAlpha": [None, 0, 7],
    "targetModules": [None, [], ["q_proj"], ["q_proj", "nothing"]],
    "rsLora": [False, True],
    "dora": [False, True],
    "trainableLayers": [-1, 0, 2, 4],
    "maxSequenceLength": [1, 8, 1024, 10**6],
}
REST: Mapping[str, list[Any]] = {
    "trainingType": ["LORA", "QLORA", "FULL", "FREEZE"],
    "earlyStopping": [None, {"enabled": True}, {"patience": 0}, {"patience": 9}],
    "checkpointing": [None, {"interval": 7}, {"keepBest": 0}],
    "devices": [None, 0, 2, 4],
    "sharding": [None, "FULL"],
    "samplePrompts": [None, ["Hi", " "]],
}


def drawn(seed: int) -> dict[str, Any]:
    """An input of any kind, whose model and dataset are still to be named."""
    draw = random.Random(seed)

    chosen = draw.choice([0.1, 0.5])

    def some(options: Mapping[str, list[Any]]) -> dict[str, Any]:
        return {name: draw.choice(each) for name, each in options.items() if draw.random() < chosen}

    data = {"validationSplit": [0.0, 0.01, 0.5, 2.0], "maxSamples": [None, 0, 5]}
    method = {"trainingType": draw.choice(REST["trainingType"])}
    return method | some(REST) | {"hyperparameters": some(HYPERPARAMETERS), "data": some(data)}


async def prepared(client: Client) -> tuple[Client, dict[str, Any]]:
    viewer = await make_viewer()
    model, dataset = await make_model(viewer), await make_dataset(viewer, client.service)
    await say_present("host-1-cafe", devices=2, devices_in_use=0, slots=1, machine=MACHINE)
    named = {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": ids.encode(ids.Kind.DATASET, dataset.id),
    }
    return await client.as_viewer(viewer), named


async def validated(user: Client, sent: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = (await user.data(VALIDATE, input=sent))["validateConfig"]
    return answer


def findings(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*answer["errors"], *answer["warnings"], *answer["recommendations"]]


@pytest.mark.slow
async def test_following_every_patch_leads_to_a_run_that_can_start(client: Client) -> None:
    user, named = await prepared(client)
    for seed in range(20):
        sent = named | drawn(seed)
        rounds = 0
        while patches := [
            each["suggestedPatch"]
            for each in findings(await validated(user, sent))
            if each["suggestedPatch"] is not None
        ]:
            for patch in patches:
                sent = merge(sent, patch)
            rounds += 1
            answer = await validated(user, sent)
            assert [each["code"] for each in answer["errors"]] == [], (seed, sent)
            assert rounds <= ROUNDS, (seed, sent, patches)
        assert (await user.data(RUN, input=sent))["runPipeline"]["__typename"] == "TrainingJob"


async def test_a_run_is_refused_for_what_its_validation_names(client: Client) -> None:
    user, named = await prepared(client)
    refused = 0
    for seed in range(20, 60):
        sent = named | drawn(seed)
        before = await TrainingJob.all().count()
        answer = await validated(user, sent)
        started = (await user.data(RUN, input=sent))["runPipeline"]
        assert (started["__typename"] == "TrainingJob") is answer["valid"], (seed, sent)
        assert await TrainingJob.all().count() == before + answer["valid"]
        if not answer["valid"]:
            refused += 1
            assert started["findings"] == findings(answer)
    assert 0 < refused < 40


async def test_the_short_form_is_judged_the_same_and_answered_in_its_own_names(
    client: Client,
) -> None:
    user, named = await prepared(client)
    short = named | {"validationSplit": 0.0, "earlyStopping": True}
    full = named | {
        "trainingType": "LORA",
        "data": {"validationSplit": 0.0},
        "earlyStopping": {"enabled": True},
    }
    answer = await validated(user, full)
    refusal = (await user.data(START, input=short))["startTraining"]
    assert refusal["__typename"] == "InvalidProblem"
    assert [each["code"] for each in refusal["findings"]] == [
        each["code"] for each in findings(answer)
    ]
    error = refusal["findings"][0]
    assert (error["code"], error["path"]) == ("NO_VALIDATION_RECORDS", ["validationSplit"])
    assert error["suggestedPatch"] == {"validationSplit": 0.1}
    never = next(
        each for each in refusal["findings"] if each["code"] == "EARLY_STOPPING_WITHOUT_EFFECT"
    )
    assert (never["path"], never["suggestedPatch"]) == (["earlyStopping"], None)
    cured = merge(short, error["suggestedPatch"])
    assert (await user.data(START, input=cured))["startTraining"]["__typename"] == "TrainingJob"


async def test_a_dataset_of_one_record_is_not_stopped_early_in_the_short_form(
    client: Client,
) -> None:
    viewer = await make_viewer()
    one = await make_dataset(viewer, client.service, records=[{"question": "a", "answer": "b"}])
    user = await client.as_viewer(viewer)
    model = await make_model(viewer)
    short = {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": ids.encode(ids.Kind.DATASET, one.id),
        "earlyStopping": True,
    }
    refusal = (await user.data(START, input=short))["startTraining"]
    patch = refusal["findings"][0]["suggestedPatch"]
    assert patch == {"earlyStopping": False}
    cured = merge(short, patch)
    assert (await user.data(START, input=cured))["startTraining"]["__typename"] == "TrainingJob"
