"""Datasets of the hub over the API, and plain text cut as was asked."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.models import Dataset
from schema import ids
from tests.api.clients import Client
from tests.api.sending import GET_DATASET, create, made, send
from tests.factories import make_viewer
from tests.hub import TRAIN_BYTES, hub_for_children
from tests.ingesting import ingest
from tests.training.data.fake_hub import COMMIT, Hub

INSPECT = """query($id: ID!, $division: TextDivision!) {
  inspectUpload(uploadId: $id, division: $division) { sampledRows rows { line record } } }"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_for_children(monkeypatch) as hub:
        yield hub


@pytest.fixture
async def viewer(client: Client) -> Client:
    return await client.as_viewer(await make_viewer())


async def asked(viewer: Client, **hub: str) -> dict[str, Any]:
    """What createDataset answers to a split of the hub."""
    return await create(viewer, "", source={"hub": hub})


async def test_a_split_of_the_hub_is_queued_then_shown_with_its_commit(
    viewer: Client, hub: Hub
) -> None:
    begun = await asked(viewer, id="ann/sums")
    source = {
        "__typename": "HubSource",
        "id": "ann/sums",
        "config": None,
        "split": "train",
        "revision": None,
        "commit": None,
        "partial": False,
        "sizeBytes": None,
    }
    assert (begun["status"], begun["source"]) == ("QUEUED", source)
    assert hub.requests == []  # no process of the API asks
    await ingest(viewer.service, ids.decode(ids.Kind.DATASET, begun["id"]))
    found = (await viewer.data(GET_DATASET, id=begun["id"]))["getDataset"]
    assert (found["status"], found["container"], found["recordCount"]) == ("READY", "PARQUET", 30)
    known = {"config": "default", "commit": COMMIT, "sizeBytes": TRAIN_BYTES}
    assert found["source"] == source | known
    pinned = await asked(viewer, id="ann/sums", revision=COMMIT, config="default")
    await ingest(viewer.service, ids.decode(ids.Kind.DATASET, pinned["id"]))
    again = (await viewer.data(GET_DATASET, id=pinned["id"]))["getDataset"]
    assert (again["sha256"], again["source"]["revision"]) == (found["sha256"], COMMIT)
    stranger = await viewer.as_viewer(await make_viewer())
    assert (await stranger.data(GET_DATASET, id=begun["id"]))["getDataset"] is None


@pytest.mark.usefixtures("hub", "ingesting")
async def test_a_split_that_is_not_there_fails_with_those_that_are(viewer: Client) -> None:
    found = await made(viewer, "", source={"hub": {"id": "ann/sums", "split": "dev"}})
    assert (found["status"], found["error"]["code"]) == ("FAILED", "HUB_SPLIT_UNKNOWN")
    assert found["error"]["remedy"] == "It has test, train."


async def test_names_that_no_hub_has_are_refused_where_they_stand(viewer: Client) -> None:
    refused = await asked(viewer, id="ann/sums", split="")
    [finding] = refused["findings"]
    assert (finding["code"], finding["path"]) == ("HUB_NAME", ["source", "hub", "split"])
    assert await Dataset.all().count() == 0


@pytest.mark.usefixtures("ingesting")
async def test_plain_text_is_looked_at_and_made_records_by_lines_alike(viewer: Client) -> None:
    upload_id = await send(viewer, b"It rains.\nIt pours.\n\nIt shines.\n", "book.txt")
    looked = await viewer.data(INSPECT, id=upload_id, division="LINES")
    assert looked["inspectUpload"] == {
        "sampledRows": 3,
        "rows": [
            {"line": 1, "record": {"text": "It rains."}},
            {"line": 2, "record": {"text": "It pours."}},
            {"line": 4, "record": {"text": "It shines."}},
        ],
    }
    found = await made(viewer, upload_id, division="LINES")
    assert (found["status"], found["recordCount"]) == ("READY", 3)
    assert found["source"]["division"] == "LINES"


@pytest.mark.usefixtures("ingesting")
async def test_how_to_cut_what_is_no_plain_text_is_refused_by_name(viewer: Client) -> None:
    upload_id = await send(viewer, b"text\nIt rains.\nIt pours.\n", "book.csv")
    found = await made(viewer, upload_id, division="LINES")
    assert (found["status"], found["error"]["code"]) == ("FAILED", "DIVISION_WITHOUT_EFFECT")
    assert (await made(viewer, upload_id))["recordCount"] == 2
    before = await Dataset.all().count()
    for source in ({"records": [{"text": "a"}]}, {"hub": {"id": "ann/sums"}}):
        [finding] = (await create(viewer, "", source=source, division="LINES"))["findings"]
        assert (finding["code"], finding["path"]) == ("DIVISION_WITHOUT_EFFECT", ["division"])
    assert await Dataset.all().count() == before
