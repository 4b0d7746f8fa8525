"""Datasets examined in tokens over the API, from the question to the report."""

from typing import Any

from jobs.access import Role
from jobs.status import TaskStatus
from schema import ids
from tests.api.clients import Client
from tests.factories import QA, make_dataset, make_model, make_viewer
from tests.ingesting import examine_tokens
from tests.tiny_model import make_tiny_model

PROBLEM = "... on Problem { code message remedy } ... on InvalidProblem { findings { path code } }"
EXAMINE = f"""mutation($input: ExamineDatasetInput!) {{ examineDataset(input: $input) {{ __typename
  ... on TokenExamination {{ id status }}
  ... on Dataset {{ id examination {{ status progress }} }} {PROBLEM} }} }}"""
NODE = """query($id: ID!) { node(id: $id) { ... on TokenExamination {
  id status progress error { code } chatTemplate trainOn maxSequenceLength
  dataset { id tokenExaminations { totalCount edges { node { id } } } } model { name }
  report { stopTokens findings { code count lines severity strategies }
    statistics { rows tokens trainedTokens maskedTokens unknownTokens
      lengthPercentiles { percentile tokens } lengthHistogram { fromLength toLength count }
      overLimit { maxLength records tokens trainedTokens longest } } } } } }"""


async def examined(client: Client, **sent: object) -> dict[str, Any]:
    found = (await client.data(EXAMINE, input=sent))["examineDataset"]
    assert isinstance(found, dict)
    return found


async def test_a_dataset_is_asked_about_looked_at_and_reported_in_tokens(
    client: Client, tmp_path: Any
) -> None:
    service, ada = client.service, await make_viewer()
    viewer = await client.as_viewer(ada)
    long = {"question": "Why?", "answer": "Because " * 40}
    dataset = await make_dataset(ada, service, records=[*QA, long])
    model = await make_model(ada, source=str(make_tiny_model(tmp_path / "tiny")))
    sent = {
        "datasetId": ids.encode(ids.Kind.DATASET, dataset.id),
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "trainOn": "ALL",
        "maxSequenceLength": 64,
    }
    asked = await examined(viewer, **sent)
    assert (asked["__typename"], asked["status"]) == ("TokenExamination", "QUEUED")
    row = await examine_tokens(service, ids.decode(ids.Kind.EXAMINATION, asked["id"]))
    assert row.status is TaskStatus.READY
    assert await examined(viewer, **sent) == asked | {"status": "READY"}

    node = (await viewer.data(NODE, id=asked["id"]))["node"]
    report = node.pop("report")
    assert node == {
        "id": asked["id"],
        "status": "READY",
        "progress": 100.0,
        "error": None,
        "chatTemplate": None,
        "trainOn": "ALL",
        "maxSequenceLength": 64,
        "model": {"name": model.name},
        "dataset": {
            "id": sent["datasetId"],
            "tokenExaminations": {"totalCount": 1, "edges": [{"node": {"id": asked["id"]}}]},
        },
    }
    assert report["stopTokens"] == ["<|im_end|>"]
    assert [(each["code"], each["lines"]) for each in report["findings"]] == [
        ("TOO_LONG", [21]),
        ("ANSWER_CUT", [21]),
    ]
    figures = report["statistics"]
    assert (figures["rows"], figures["unknownTokens"], figures["maskedTokens"]) == (21, 0, 21)
    assert figures["tokens"] == figures["trainedTokens"] + 21
    over = figures["overLimit"]
    assert (over["maxLength"], over["records"]) == (64, 1)
    assert over["tokens"] == over["longest"] - 64

    stranger = await client.as_viewer(await make_viewer())
    assert await stranger.data(NODE, id=asked["id"]) == {"node": None}
    assert (await examined(stranger, **sent))["code"] == "NOT_FOUND"


async def test_what_is_refused_is_told_as_a_problem(client: Client) -> None:
    ada = await make_viewer()
    viewer = await client.as_viewer(ada)
    dataset = await make_dataset(ada, client.service)
    model = await make_model(ada)
    named = {"datasetId": ids.encode(ids.Kind.DATASET, dataset.id)}
    again = await examined(viewer, **named)
    assert again == {
        "__typename": "Dataset",
        "id": named["datasetId"],
        "examination": {"status": "QUEUED", "progress": 0.0},
    }
    alone = await examined(viewer, **named, trainOn="ALL")
    assert alone["findings"] == [{"path": ["modelId"], "code": "MODEL_MISSING"}]
    named["modelId"] = ids.encode(ids.Kind.MODEL, model.id)
    wrong = await examined(viewer, **named, maxSequenceLength=0)
    assert [each["path"] for each in wrong["findings"]] == [["maxSequenceLength"]]
    reader = await client.as_viewer(await make_viewer(Role.VIEWER))
    assert await reader.code(EXAMINE, input=named) == "FORBIDDEN"
