"""Records of two datasets that are nearly equal, told over the API once both are examined."""

from typing import Any

import pytest

from jobs.models import Dataset
from jobs.service import Service
from schema import ids
from tests.api.clients import Client
from tests.factories import QA, make_dataset, make_model, make_viewer
from training.config import DataType
from training.data.doctor.examination import examine
from training.data.doctor.kept import keep

VALIDATE = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
  valid nearLeaksUnknown warnings { code path message suggestedPatch } } }"""
COMPARE = """query($a: ID!, $b: ID!) { compareDatasets(a: $a, b: $b) {
  leaks { equal near unknown pairs { lineInA lineInB similarity } } } }"""

RIVER = {"question": "Which river flows through Paris?", "answer": "The Seine, of course."}
RIVER_AGAIN = {"question": "which river flows through paris", "answer": "The Seine - of course!"}
SKY = {"question": "What colour is the sky?", "answer": "Blue, where it is not grey."}


def examined(service: Service, dataset: Dataset, records: list[dict[str, str]]) -> None:
    folder = service.artifacts.examination(dataset.id)
    folder.mkdir(parents=True)
    keep(examine(DataType.QA, enumerate(records, 1)), folder)


def near_leaks(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in found["warnings"] if each["code"] == "VALIDATION_NEAR_LEAK"]


@pytest.mark.slow
async def test_near_leaks_are_told_of_a_run_and_of_two_datasets_once_both_are_examined(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.preview.dry_runs.STARTING_SECONDS", 20.0)
    owner = await make_viewer()
    mine = await client.as_viewer(owner)
    trained, tested = [SKY, RIVER, *QA[:10]], [RIVER_AGAIN, *QA[15:], SKY]
    datasets = [await make_dataset(owner, service, records=each) for each in (trained, tested)]
    a, b = (ids.encode(ids.Kind.DATASET, each.id) for each in datasets)
    elsewhere = await make_model(owner)
    asked = {
        "modelId": ids.encode(ids.Kind.MODEL, elsewhere.id),
        "datasetId": a,
        "trainingType": "LORA",
        "data": {"validationDatasetId": b},
    }
    examined(service, datasets[0], trained)
    before = (await mine.data(VALIDATE, input=asked))["validateConfig"]
    assert (before["valid"], near_leaks(before)) == (True, [])
    assert before["nearLeaksUnknown"].startswith("It is told once the records are examined")
    compared = (await mine.data(COMPARE, a=a, b=b))["compareDatasets"]["leaks"]
    assert compared == {
        "equal": None,
        "near": None,
        "unknown": before["nearLeaksUnknown"],
        "pairs": [],
    }
    assert service.previews.pid is None  # nobody had to be asked

    examined(service, datasets[1], tested)
    found = (await mine.data(VALIDATE, input=asked))["validateConfig"]
    (warning,) = near_leaks(found)
    assert (found["valid"], found["nearLeaksUnknown"]) == (True, None)
    assert (warning["path"], warning["suggestedPatch"]) == (["data", "validationDatasetId"], None)
    assert warning["message"] == (
        "If no record is left out, 1 record of the validation dataset is nearly equal to records "
        "that are trained on: line 1 (line 2)."
    )
    compared = (await mine.data(COMPARE, a=a, b=b))["compareDatasets"]["leaks"]
    assert compared == {
        "equal": 1,
        "near": 1,
        "unknown": None,
        "pairs": [{"lineInA": 2, "lineInB": 1, "similarity": 1.0}],
    }
    whole = {**asked, "data": {"validationSplit": 0.0}}
    alone = (await mine.data(VALIDATE, input=whole))["validateConfig"]
    assert (near_leaks(alone), alone["nearLeaksUnknown"]) == ([], None)
