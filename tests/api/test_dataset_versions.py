"""Datasets derived from others, compared, and tested with, over the API."""

from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.data import deletion
from jobs.models import Dataset, TrainingJob
from jobs.status import JobStatus
from schema import ids
from tests.api.clients import Client
from tests.factories import QA, make_dataset, make_model, make_version, make_viewer
from tests.ingesting import ingest

Kind = ids.Kind

FACTS = """id name status version recordCount sha256 parent { id } derivation {
    added addedDataset { name sha256 } removed removals { cause finding count lines }
    addedLines { first last } removedLines { first last } removedLinesComplete
    parent { number name sha256 recordCount dataset { id } } }
    records(first: 1) { edges { node { line content } } }"""

DERIVE = f"""mutation($input: DeriveDatasetInput!) {{ derived: deriveDataset(input: $input) {{
  __typename ... on Dataset {{ {FACTS} }} ... on Problem {{ code message }}
  ... on InvalidProblem {{ findings {{ code path }} }} }} }}"""

DESCENT = """query($id: ID!) { getDataset(id: $id) { version parent { id }
  derivation { parent { number name dataset { id } } }
  children { totalCount edges { node { id version } } }
  lineage { totalCount edges { node { number name dataset { id } } } } } }"""

COMPARE = """query($a: ID!, $b: ID!, $after: String) { compareDatasets(a: $a, b: $b) { equal
  a { id } b { id }
  onlyInA(first: 2, after: $after) { totalCount pageInfo { hasNextPage endCursor }
    edges { node { line content } } }
  onlyInB { totalCount edges { node { line content } } } inBoth(first: 1) { totalCount
    edges { node { line } } } } }"""

NEW = [{"question": "Who?", "answer": "You."}]


@pytest.fixture
async def owner(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


async def derive(client: Client, parent: str, **wanted: Any) -> dict[str, Any]:
    """What deriveDataset answers."""
    answer = (await client.data(DERIVE, input={"parentId": parent, **wanted}))["derived"]
    assert isinstance(answer, dict)
    return answer


async def derived(client: Client, parent: str, **wanted: Any) -> dict[str, Any]:
    """The dataset once a worker has made it."""
    begun = await derive(client, parent, **wanted)
    await ingest(client.service, ids.decode(Kind.DATASET, begun["id"]))
    query = f"query($id: ID!) {{ getDataset(id: $id) {{ {FACTS} }} }}"
    found = (await client.data(query, id=begun["id"]))["getDataset"]
    assert isinstance(found, dict)
    return found


def public(dataset: Dataset) -> str:
    return str(ids.encode(Kind.DATASET, dataset.id))


async def dataset_id(client: Client, owner: Viewer, **changes: Any) -> str:
    return public(await make_dataset(owner, client.service, **changes))


async def test_a_dataset_is_derived_and_says_from_what(client: Client, owner: Viewer) -> None:
    mine = await client.as_viewer(owner)
    parent = await make_dataset(owner, client.service, records=[*QA[:19], QA[0]])
    first, more = public(parent), await dataset_id(client, owner, name="more", records=NEW)
    remove = {
        "lines": [{"first": 2, "last": 3}],
        "strategies": [{"finding": "DUPLICATE", "strategy": "DROP"}],
    }
    wanted = {"name": "better", "remove": remove, "add": {"datasetId": more}}
    begun = await derive(mine, first, **wanted)
    assert (begun["status"], begun["version"], begun["derivation"]) == ("QUEUED", 1, None)
    assert begun["parent"] == {"id": first}
    found = await derived(mine, first, **wanted)
    [added] = [row.sha256 for row in await Dataset.filter(name="more")]
    assert found["derivation"] == {
        "added": 1,
        "addedDataset": {"name": "more", "sha256": added},
        "removed": 3,
        "removals": [
            {"cause": "LINES", "finding": None, "count": 2, "lines": [2, 3]},
            {"cause": "FINDING", "finding": "DUPLICATE", "count": 1, "lines": [20]},
        ],
        "addedLines": {"first": 18, "last": 18},
        "removedLines": [{"first": 2, "last": 3}, {"first": 20, "last": 20}],
        "removedLinesComplete": True,
        "parent": {
            "number": 1,
            "name": "sums",
            "sha256": parent.sha256,
            "recordCount": 20,
            "dataset": {"id": first},
        },
    }
    assert (found["name"], found["version"], found["recordCount"]) == ("better", 2, 18)
    assert (found["status"], found["parent"]) == ("READY", {"id": first})
    assert found["records"]["edges"] == [{"node": {"line": 1, "content": QA[0]}}]


async def test_what_cannot_be_derived_is_a_typed_problem(client: Client, owner: Viewer) -> None:
    mine = await client.as_viewer(owner)
    first = await dataset_id(client, owner)
    found = await derive(mine, first, remove={"lines": [{"first": 1}, {"first": 21}]})
    assert (found["__typename"], found["findings"]) == (
        "InvalidProblem",
        [{"code": "LINES_OUT_OF_RANGE", "path": ["remove", "lines", "1"]}],
    )
    found = await derive(mine, first, add={"records": NEW}, division="LINES")
    assert found["findings"] == [{"code": "DIVISION_WITHOUT_EFFECT", "path": ["division"]}]
    viewer = await client.as_viewer(await make_viewer(Role.VIEWER))
    assert await viewer.code(DERIVE, input={"parentId": first}) == "FORBIDDEN"
    both = {"records": NEW, "datasetId": first}
    assert await mine.code(DERIVE, input={"parentId": first, "add": both}) == "BAD_USER_INPUT"


async def test_a_dataset_stays_while_another_is_made_of_it(client: Client, owner: Viewer) -> None:
    mine = await client.as_viewer(owner)
    first = await dataset_id(client, owner)
    await derive(mine, first, add={"records": NEW})
    delete = """mutation($id: ID!) { deleteDataset(datasetId: $id) {
      __typename ... on Problem { message } } }"""
    assert (await mine.data(delete, id=first))["deleteDataset"] == {
        "__typename": "ConflictProblem",
        "message": "Of the dataset 'sums' 1 other(s) are being made.",
    }


async def test_a_line_of_descent_is_told_from_both_ends(client: Client, owner: Viewer) -> None:
    mine = await client.as_viewer(owner)
    rows = [await make_dataset(owner, client.service)]
    for count in (19, 18):
        rows.append(await make_version(owner, client.service, rows[-1], QA[:count]))
    first, second, third = map(public, rows)
    assert (await mine.data(DESCENT, id=first))["getDataset"] == {
        "version": 1,
        "parent": None,
        "derivation": None,
        "children": {"totalCount": 1, "edges": [{"node": {"id": second, "version": 2}}]},
        "lineage": {
            "totalCount": 1,
            "edges": [{"node": {"number": 1, "name": "sums", "dataset": {"id": first}}}],
        },
    }
    _, key = ids.parse(second) or pytest.fail("no id")
    await deletion.delete(owner, key, artifacts=client.service.artifacts)
    found = (await mine.data(DESCENT, id=third))["getDataset"]
    assert (found["version"], found["parent"]) == (3, None)
    assert found["derivation"]["parent"] == {"number": 2, "name": "sums", "dataset": None}
    line = [each["node"] for each in found["lineage"]["edges"]]
    assert [(each["number"], each["dataset"]) for each in line] == [
        (1, {"id": first}),
        (2, None),
        (3, {"id": third}),
    ]


async def test_two_datasets_are_compared_page_by_page(client: Client, owner: Viewer) -> None:
    mine = await client.as_viewer(owner)
    a = await dataset_id(client, owner)
    b = await dataset_id(client, owner, records=[*QA[5:], *NEW])
    found = (await mine.data(COMPARE, a=a, b=b))["compareDatasets"]
    assert (found["equal"], found["a"], found["b"]) == (False, {"id": a}, {"id": b})
    assert found["onlyInA"]["totalCount"] == 5
    assert [each["node"] for each in found["onlyInA"]["edges"]] == [
        {"line": 1, "content": QA[0]},
        {"line": 2, "content": QA[1]},
    ]
    assert found["onlyInB"] == {
        "totalCount": 1,
        "edges": [{"node": {"line": 16, "content": NEW[0]}}],
    }
    assert found["inBoth"] == {"totalCount": 15, "edges": [{"node": {"line": 6}}]}
    cursor = found["onlyInA"]["pageInfo"]["endCursor"]
    rest = (await mine.data(COMPARE, a=a, b=b, after=cursor))["compareDatasets"]["onlyInA"]
    assert [each["node"]["line"] for each in rest["edges"]] == [3, 4]
    assert rest["pageInfo"]["hasNextPage"]
    shuffled = await dataset_id(client, owner, records=QA[::-1])
    assert (await mine.data(COMPARE, a=a, b=shuffled))["compareDatasets"]["equal"]


async def test_anothers_datasets_are_neither_compared_nor_told_of(
    client: Client, owner: Viewer
) -> None:
    parent = await make_dataset(owner, client.service)
    theirs = public(parent)
    stranger = await make_viewer()
    own = await dataset_id(client, stranger)
    asking = await client.as_viewer(stranger)
    for a, b in ((theirs, own), (own, theirs)):
        assert await asking.data(COMPARE, a=a, b=b) == {"compareDatasets": None}
    chief = await make_viewer(Role.ADMIN)
    admin = await client.as_viewer(chief)
    taken = public(await make_version(chief, client.service, parent, QA[1:]))
    mine = (await (await client.as_viewer(owner)).data(DESCENT, id=theirs))["getDataset"]
    assert mine["children"] == {"totalCount": 0, "edges": []}
    everything = (await admin.data(DESCENT, id=theirs))["getDataset"]
    assert everything["children"]["edges"] == [{"node": {"id": taken, "version": 2}}]


JOB = """query($id: ID!) { getTrainingStatus(jobId: $id) {
  dataset { id } datasetName datasetSha256 datasetVersion
  validationData { name sha256 version dataset { id } }
  config { validationSplit dropLeaksFrom stratify } } }"""

RUN = """mutation($input: RunPipelineInput!) { runPipeline(input: $input) { __typename
  ... on TrainingJob { id } ... on InvalidProblem { findings { code path } } } }"""


async def test_a_job_tells_what_it_trained_on_and_tested_with_after_both_are_deleted(
    client: Client, owner: Viewer
) -> None:
    mine = await client.as_viewer(owner)
    parent = await make_dataset(owner, client.service)
    child = await make_version(owner, client.service, parent, QA[1:], name="sums, cleaned")
    second = {"id": public(child), "sha256": child.sha256}
    tests = await dataset_id(client, owner, name="tests", records=NEW)
    model = ids.encode(Kind.MODEL, (await make_model(owner)).id)
    sent = {"modelId": model, "datasetId": second["id"], "trainingType": "LORA"}
    data = {"validationDatasetId": tests, "dropLeaksFrom": "VALIDATION"}
    started = (await mine.data(RUN, input={**sent, "data": data}))["runPipeline"]
    before = (await mine.data(JOB, id=started["id"]))["getTrainingStatus"]
    assert before["dataset"] == {"id": second["id"]}
    assert before["datasetVersion"] == 2
    assert before["validationData"]["dataset"] == {"id": tests}
    assert before["config"] == {
        "validationSplit": 0.0,
        "dropLeaksFrom": "VALIDATION",
        "stratify": False,
    }
    await TrainingJob.all().update(status=JobStatus.CANCELLED)
    for each in (second["id"], tests):
        _, key = ids.parse(each) or pytest.fail("no id")
        await deletion.delete(owner, key, artifacts=client.service.artifacts)
    after = (await mine.data(JOB, id=started["id"]))["getTrainingStatus"]
    assert after["dataset"] is None
    assert after["validationData"]["dataset"] is None
    for facts in ("datasetName", "datasetSha256", "datasetVersion"):
        assert after[facts] == before[facts]
    assert after["datasetSha256"] == second["sha256"]
    assert after["validationData"]["name"] == "tests"


async def test_validation_by_a_dataset_of_another_type_is_found_before_a_run(
    client: Client, owner: Viewer
) -> None:
    mine = await client.as_viewer(owner)
    texts = await dataset_id(client, owner, data_type="TEXT", records=[{"text": "It rains."}])
    sent = {
        "modelId": ids.encode(Kind.MODEL, (await make_model(owner)).id),
        "datasetId": await dataset_id(client, owner),
        "trainingType": "LORA",
        "data": {"validationDatasetId": texts},
    }
    found = [{"code": "VALIDATION_TYPE_MISMATCH", "path": ["data", "validationDatasetId"]}]
    query = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
      valid errors { code path } } }"""
    validation = (await mine.data(query, input=sent))["validateConfig"]
    assert validation == {"valid": False, "errors": found}
    refused = (await mine.data(RUN, input=sent))["runPipeline"]
    assert refused["__typename"] == "InvalidProblem"
    assert refused["findings"][:1] == found  # errors come before advice
