"""What the doctor says of datasets, however they were made."""

import asyncio
import json
from pathlib import Path
from typing import Any

import chatterbot_corpus
import pytest
import yaml

from jobs.access import Role
from jobs.models import Dataset
from schema import ids
from tests.api.clients import Client
from tests.api.sending import create, made, send
from tests.factories import QA, make_model, make_viewer
from tests.ingesting import examine

ENGLISH = Path(str(chatterbot_corpus.__file__)).parent / "data" / "english"

REPORT = """query($id: ID!) { getDataset(id: $id) { status statistics { records duplicates }
  examination { status error { code } } report {
    findings { code severity count lines message remedy strategies }
    duplicates { groups records largest { count lines } }
    nearDuplicates { groups records largest { count } }
    lengthHistogram { fromLength toLength count }
    languages { sampled languages { code records } }
    personalData { kind records } } } }"""


@pytest.fixture
async def viewer(client: Client) -> Client:
    return await client.as_viewer(await make_viewer())


async def told(viewer: Client, dataset_id: str) -> dict[str, Any]:
    """The dataset as it stands."""
    found = (await viewer.data(REPORT, id=dataset_id))["getDataset"]
    assert isinstance(found, dict)
    return found


async def examined(viewer: Client, dataset_id: str) -> dict[str, Any]:
    """The report, once a worker has looked."""
    await examine(viewer.service, ids.decode(ids.Kind.DATASET, dataset_id))
    found = await told(viewer, dataset_id)
    assert found["examination"] == {"status": "READY", "error": None}
    report = found["report"]
    assert isinstance(report, dict)
    return report


def support() -> list[dict[str, str]]:
    content = yaml.safe_load((ENGLISH / "tech_support.yml").read_bytes())
    return [{"question": ask, "answer": say} for ask, say in content["conversations"]]


@pytest.mark.usefixtures("ingesting")
async def test_1050_pairs_that_are_10_are_reported_as_duplicates(viewer: Client) -> None:
    pairs = await asyncio.to_thread(support)
    content = "".join(json.dumps(pair) + "\n" for pair in pairs).encode()
    dataset = await made(viewer, await send(viewer, content))
    before = await told(viewer, dataset["id"])
    assert (before["status"], before["report"]) == ("READY", None)
    assert before["examination"] == {"status": "QUEUED", "error": None}
    assert before["statistics"] == {"records": 1050, "duplicates": 1040}
    report = await examined(viewer, dataset["id"])
    [finding] = report["findings"]
    first = {json.dumps(pair): line for line, pair in reversed([*enumerate(pairs, 1)])}
    repeated = [line for line, pair in enumerate(pairs, 1) if first[json.dumps(pair)] != line]
    assert finding.pop("lines") == repeated[:100]
    assert finding == {
        "code": "DUPLICATE",
        "severity": "WARNING",
        "count": 1040,
        "message": "Records equal to an earlier one: 1040.",
        "remedy": "Drop them; they are trained that many times, and tie a split's two sides together.",
        "strategies": ["ERROR", "DROP"],
    }
    assert (report["duplicates"]["groups"], report["duplicates"]["records"]) == (10, 1040)
    counts = [each["count"] for each in report["duplicates"]["largest"]]
    assert counts == [121, 118, 114, 105, 102, 102, 101, 101, 98, 88]
    assert report["nearDuplicates"] == {"groups": 0, "records": 0, "largest": []}
    assert sum(each["count"] for each in report["lengthHistogram"]) == 1050
    assert report["languages"] == {
        "sampled": 1050,
        "languages": [{"code": "en", "records": 952}, {"code": "und", "records": 98}],
    }
    assert report["personalData"] == []


OUTCOME = """query($id: ID!, $strategies: [DataStrategyInput!]!) { getDataset(id: $id) { report {
  outcome(strategies: $strategies) { kept refused { finding count lines }
    dropped { count reasons { finding count } lines } } } } }"""


async def test_what_strategies_would_do_is_told_before_a_dataset_is_made(viewer: Client) -> None:
    said = {"question": "Who knows?", "answer": "Ask ada@example.org."}
    sent = await create(viewer, "", source={"records": [*QA, QA[3], said, said]})
    await examined(viewer, sent["id"])

    def chosen(**strategies: str) -> dict[str, Any]:
        pairs = strategies.items()
        choices = [{"finding": code, "strategy": strategy} for code, strategy in pairs]
        return {"id": sent["id"], "strategies": choices}

    both = chosen(EMAIL_ADDRESS="DROP", DUPLICATE="DROP")
    outcome = (await viewer.data(OUTCOME, **both))["getDataset"]["report"]["outcome"]
    assert outcome == {
        "kept": 20,
        "refused": [],
        "dropped": {
            "count": 3,
            "reasons": [
                {"finding": "DUPLICATE", "count": 2},
                {"finding": "EMAIL_ADDRESS", "count": 1},
            ],
            "lines": [21, 22, 23],
        },
    }
    refusing = await viewer.data(OUTCOME, **chosen(EMAIL_ADDRESS="ERROR"))
    assert refusing["getDataset"]["report"]["outcome"] == {
        "kept": 23,
        "refused": [{"finding": "EMAIL_ADDRESS", "count": 2, "lines": [22, 23]}],
        "dropped": {"count": 0, "reasons": [], "lines": []},
    }
    error = await viewer.error(OUTCOME, **chosen(DUPLICATE="DROP", TOO_LONG="TRUNCATE"))
    assert error["extensions"]["code"] == "INVALID"
    assert [(each["path"], each["code"]) for each in error["extensions"]["findings"]] == [
        (["strategies", "1"], "STRATEGY_OF_A_RUN")
    ]


async def test_records_that_were_sent_along_are_examined_too(viewer: Client) -> None:
    said = {"question": QA[0]["question"].upper(), "answer": "Ask ada@example.org."}
    sent = await create(viewer, "", source={"records": [*QA, QA[3], said]})
    report = await examined(viewer, sent["id"])
    assert {each["code"]: each["lines"] for each in report["findings"]} == {
        "DUPLICATE": [21],
        "CONFLICTING_ANSWERS": [22],
        "EMAIL_ADDRESS": [22],
    }
    assert report["duplicates"]["largest"] == [{"count": 2, "lines": [4, 21]}]
    assert report["personalData"] == [{"kind": "EMAIL_ADDRESS", "records": 1}]


VALIDATE = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
  valid warnings { code path message suggestedPatch } } }"""


async def test_what_was_found_is_said_before_a_run(viewer: Client) -> None:
    said = {"question": "Who knows?", "answer": "Ask ada@example.org."}
    sent = await create(viewer, "", source={"records": [*QA, QA[3], said]})
    model = await make_model(await make_viewer())
    run = {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": sent["id"],
        "trainingType": "LORA",
    }
    before = (await viewer.data(VALIDATE, input=run))["validateConfig"]
    await examined(viewer, sent["id"])
    after = (await viewer.data(VALIDATE, input=run))["validateConfig"]
    assert (before["valid"], after["valid"]) == (True, True)
    assert [each for each in after["warnings"] if each not in before["warnings"]] == [
        {
            "code": "EMAIL_ADDRESS",
            "path": ["datasetId"],
            "message": "Records with an e-mail address: 1. The first is on line 22.",
            "suggestedPatch": None,
        }
    ]


async def test_code_has_no_languages_of_texts(viewer: Client) -> None:
    sent = await create(viewer, "", source={"records": [{"code": "x = 1"}]})
    assert (await examined(viewer, sent["id"]))["languages"] is None


async def test_records_that_cannot_be_read_fail_the_examination_alone(viewer: Client) -> None:
    sent = await create(viewer, "", source={"records": QA})
    dataset_id = ids.decode(ids.Kind.DATASET, sent["id"])
    viewer.service.artifacts.records(dataset_id).unlink()
    await examine(viewer.service, dataset_id)
    found = await told(viewer, sent["id"])
    assert (found["status"], found["report"]) == ("READY", None)
    assert found["examination"] == {"status": "FAILED", "error": {"code": "INTERNAL"}}


async def test_a_report_is_its_owners_and_an_admins(client: Client, viewer: Client) -> None:
    sent = await create(viewer, "", source={"records": [*QA, QA[0]]})
    report = await examined(viewer, sent["id"])
    stranger = await client.as_viewer(await make_viewer())
    assert await stranger.data(REPORT, id=sent["id"]) == {"getDataset": None}
    admin = await client.as_viewer(await make_viewer(Role.ADMIN))
    assert (await told(admin, sent["id"]))["report"] == report


async def test_what_is_not_ready_is_not_examined(viewer: Client) -> None:
    begun = await create(viewer, await send(viewer, b'{"a": "b"}\n'))
    found = await told(viewer, begun["id"])
    assert (found["status"], found["examination"], found["report"]) == ("QUEUED", None, None)
    assert await Dataset.filter(examination__id__isnull=False).count() == 0
