"""Lists: pages that lose and double nothing, and related rows at one query a kind."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.access import Viewer
from jobs.models import Dataset, ModelVersion, TrainingJob
from jobs.service import Service
from schema import ids
from tests.api.clients import Client
from tests.api.rows import make_completed_job, make_export
from tests.factories import make_dataset, make_model, make_viewer
from training.config import DataType

PAGE = """query($first: Int!, $after: String) { listDatasets(first: $first, after: $after) {
  totalCount edges { cursor node { name } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


async def make_datasets(viewer: Viewer, service: Service, names: list[str]) -> None:
    for name in names:
        await make_dataset(viewer, service, name=name)


async def test_paging_loses_and_doubles_no_row_while_rows_come_and_go(client: Client) -> None:
    owner = await make_viewer()
    viewer = await client.as_viewer(owner)
    await make_datasets(owner, client.service, [f"d{n}" for n in range(7)])
    seen: list[str] = []
    after, pages = None, 0
    while True:
        page = (await viewer.data(PAGE, first=3, after=after))["listDatasets"]
        assert page["pageInfo"]["hasPreviousPage"] is (pages > 0)
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        await make_datasets(owner, client.service, [f"new{pages}"])
        await Dataset.filter(name=seen[-1]).delete()  # the very row that the cursor names
        pages += 1
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == ["d6", "d5", "d4", "d3", "d2", "d1", "d0"]
    assert pages == 3


async def test_rows_of_one_instant_are_paged_one_by_one(client: Client) -> None:
    owner = await make_viewer()
    viewer = await client.as_viewer(owner)
    await make_datasets(owner, client.service, [f"d{n}" for n in range(5)])
    await Dataset.all().update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    seen, after = [], None
    for _ in range(5):
        page = (await viewer.data(PAGE, first=1, after=after))["listDatasets"]
        assert page["totalCount"] == 5
        seen += [edge["node"]["name"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
    assert page["pageInfo"]["hasNextPage"] is False
    assert sorted(seen) == ["d0", "d1", "d2", "d3", "d4"]


async def test_an_empty_list_is_an_empty_page(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    assert (await viewer.data(PAGE, first=1))["listDatasets"] == {
        "totalCount": 0,
        "edges": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
    }


async def test_records_are_paged_by_line(client: Client) -> None:
    owner = await make_viewer()
    viewer = await client.as_viewer(owner)
    texts = [{"text": f"line {n}"} for n in range(1, 6)]
    dataset = await make_dataset(owner, client.service, data_type=DataType.TEXT, records=texts)
    query = """query($id: ID!, $first: Int!, $after: String) { getDataset(id: $id) {
      records(first: $first, after: $after) { totalCount
        edges { cursor node { line content } } pageInfo { hasNextPage endCursor } } } }"""
    dataset_id = ids.encode(ids.Kind.DATASET, dataset.id)
    seen, after = [], None
    for expected in (True, True, False):
        answer = await viewer.data(query, id=dataset_id, first=2, after=after)
        page = answer["getDataset"]["records"]
        seen += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        assert (page["pageInfo"]["hasNextPage"], page["totalCount"]) == (expected, 5)
    assert seen == [{"line": n, "content": {"text": f"line {n}"}} for n in range(1, 6)]
    for bad in ("x", "", "LTE=", "💥"):
        assert await viewer.code(query, id=dataset_id, first=2, after=bad) == "INVALID"
    assert await viewer.code(query, id=dataset_id, first=0) == "INVALID"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("status", "COMPLETED", 2),
        ("status", "QUEUED", 0),
        ("modelId", "model", 1),
        ("datasetId", "dataset", 1),
        ("userId", "user", 2),
    ],
)
async def test_jobs_are_filtered(client: Client, field: str, value: str, expected: int) -> None:
    owner = await make_viewer()
    job = await make_completed_job(owner, client.service)
    await make_completed_job(owner, client.service)
    assert job.dataset_id is not None
    known = {
        "model": ids.encode(ids.Kind.MODEL, job.model_id),
        "dataset": ids.encode(ids.Kind.DATASET, job.dataset_id),
        "user": ids.encode(ids.Kind.USER, owner.user_id),
    }
    kind = "JobStatus" if field == "status" else "ID"
    query = f"query($value: {kind}!) {{ listTrainingJobs({field}: $value) {{ totalCount }} }}"
    viewer = await client.as_viewer(owner)
    answer = await viewer.data(query, value=known.get(value, value))
    assert answer == {"listTrainingJobs": {"totalCount": expected}}
    if field != "status":
        assert await viewer.code(query, value="nonsense") == "NOT_FOUND"


async def test_datasets_are_filtered_by_type(client: Client) -> None:
    owner = await make_viewer()
    await make_dataset(owner, client.service)
    viewer = await client.as_viewer(owner)
    for kind, expected in (("QA", 1), ("TEXT", 0)):
        query = f"{{ listDatasets(dataType: {kind}) {{ totalCount }} }}"
        assert await viewer.data(query) == {"listDatasets": {"totalCount": expected}}


JOBS = """{ listTrainingJobs(first: 100) { edges { node { status
  model { name owner { email } } dataset { name owner { email } }
  owner { email } epochs { epoch } checkpoints { name } metadata { checkpoints }
  modelVersion { version exports { format } job { id } model { activeVersion { id } } } } } } }"""


@contextmanager
def counted_queries(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    caplog.set_level(logging.DEBUG, "tortoise.db_client")
    caplog.clear()
    found: list[str] = []
    yield found
    found += [each.getMessage() for each in caplog.records if each.name == "tortoise.db_client"]


async def test_related_rows_take_one_query_a_kind_however_many_jobs(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    owner = await make_viewer()
    viewer = await client.as_viewer(owner)
    counts = []
    for jobs in (2, 8):
        while await TrainingJob.all().count() < jobs:
            job = await make_completed_job(owner, client.service)
            await make_export(owner, client.service, await ModelVersion.get(job_id=job.id))
        with counted_queries(caplog) as queries:
            found = await viewer.data(JOBS)
        assert len(found["listTrainingJobs"]["edges"]) == jobs
        counts.append(len(queries))
    # viewer, jobs; models, datasets, owners, epochs, checkpoints, versions; exports, jobs,
    # active versions
    assert counts == [11, 11]


async def test_models_show_their_facts(client: Client) -> None:
    owner = await make_viewer()
    model = await make_model(owner, name="tiny", source="/models/tiny")
    query = """query($name: String!) { getModel(name: $name) { id name source status error { code }
      architecture parameterCount contextLength licence hasChatTemplate owner { email } } }"""
    viewer = await client.as_viewer(owner)
    assert (await viewer.data(query, name="tiny"))["getModel"] == {
        "id": ids.encode(ids.Kind.MODEL, model.id),
        "name": "tiny",
        "source": "/models/tiny",
        "status": "READY",
        "error": None,
        "architecture": "LlamaForCausalLM",
        "parameterCount": 1_000_000,
        "contextLength": 2048,
        "licence": "apache-2.0",
        "hasChatTemplate": True,
        "owner": {"email": owner.email},
    }
    assert await viewer.data(query, name="other") == {"getModel": None}
    versions = '{ listModelVersions(modelName: "other") { totalCount } }'
    assert await viewer.code(versions) == "NOT_FOUND"


async def test_a_version_tells_where_it_came_from(client: Client) -> None:
    owner = await make_viewer()
    job = await make_completed_job(owner, client.service)
    query = """query($id: ID!) { getTrainingStatus(jobId: $id) { modelVersion {
      version status trainingDataSize samples { prompt before after }
      metadata { loss epochs trainedTokens adapter config { trainingType loraAlpha } } } } }"""
    answer: dict[str, Any] = await (await client.as_viewer(owner)).data(
        query, id=ids.encode(ids.Kind.JOB, job.id)
    )
    assert answer["getTrainingStatus"]["modelVersion"] == {
        "version": "v1.0.0",
        "status": "READY",
        "trainingDataSize": 18,
        "samples": [{"prompt": "1+1?", "before": "no", "after": "2"}],
        "metadata": {
            "loss": 2.0,
            "epochs": 1,
            "trainedTokens": 5_000_000_000,
            "adapter": True,
            "config": {"trainingType": "LORA", "loraAlpha": 32},
        },
    }
