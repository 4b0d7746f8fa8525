"""Splits of the hub made datasets by a worker: fetched by its child, stopped, done again, refused."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from tortoise.exceptions import DoesNotExist

from jobs import datasets, hub_datasets, tasks
from jobs.access import Viewer
from jobs.errors import InvalidInput
from jobs.hub_datasets import HubDraft
from jobs.models import Dataset, Examination
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus
from tests.hub import ROWS, TRAIN_BYTES, hub_for_children
from tests.ingesting import ingest
from tests.jobs.stage import eventually, make_viewer
from tests.training.data.fake_hub import COMMIT, Hub
from training.data.records import canonical_line


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_for_children(monkeypatch) as hub:
        yield hub


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def queued(service: Service, viewer: Viewer, **changes: Any) -> Dataset:
    wanted = {"id": "ann/sums", "split": "train"} | changes
    draft = HubDraft("sums", None, **wanted)
    return await hub_datasets.fetch(viewer, draft, settings=service.settings, queue=service.queue)


def names(service: Service, dataset: Dataset) -> set[str]:
    return {path.name for path in service.artifacts.dataset(dataset.id).iterdir()}


async def test_a_split_becomes_a_dataset_at_one_commit_and_its_files_go(
    service: Service, viewer: Viewer, hub: Hub
) -> None:
    dataset = await queued(service, viewer)
    assert (dataset.status, dataset.progress, hub.requests) == (TaskStatus.QUEUED, 0.0, [])
    ready = await ingest(service, dataset.id)
    assert (ready.status, ready.error, ready.progress) == (TaskStatus.READY, None, 100.0)
    assert (ready.container, ready.record_count, ready.source_bytes) == ("PARQUET", 30, TRAIN_BYTES)
    assert (await Examination.get(id=dataset.id)).status is TaskStatus.QUEUED
    assert ready.hub is not None
    found = {name: ready.hub[name] for name in ("id", "config", "split", "revision", "commit")}
    assert found == {
        "id": "ann/sums",
        "config": "default",
        "split": "train",
        "revision": None,
        "commit": COMMIT,
    }
    stored = service.artifacts.records(dataset.id).read_bytes()
    assert stored == b"".join(canonical_line(row) for row in ROWS)
    assert ".hub.partial" not in names(service, dataset)


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"id": "ann//x"}, "HUB_DATASET_NOT_FOUND", "OWNER/NAME"),
        ({"id": "ann/gated"}, "HUB_DATASET_GATED", "HF_TOKEN of the workers"),
        ({"split": "dev"}, "HUB_SPLIT_UNKNOWN", "It has test, train."),
    ],
)
@pytest.mark.usefixtures("hub")
async def test_what_the_hub_does_not_give_fails_the_dataset_with_a_remedy(
    service: Service, viewer: Viewer, changes: dict[str, str], code: str, told: str
) -> None:
    failed = await ingest(service, (await queued(service, viewer, **changes)).id)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == (TaskStatus.FAILED, code)
    assert told in f"{failed.error['message']} {failed.error['remedy']}"
    assert not names(service, failed) & {".hub.partial", "records.jsonl"}


async def test_a_hub_that_is_away_or_too_large_is_named(
    service: Service, viewer: Viewer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = service.settings.model_copy(update={"max_upload_bytes": TRAIN_BYTES - 1})
    draft = HubDraft("sums", None, "ann/sums", "train")
    large = await hub_datasets.fetch(viewer, draft, settings=small, queue=service.queue)
    failed = await ingest(service, large.id)
    assert failed.error is not None
    assert failed.error["code"] == "HUB_DATASET_TOO_LARGE"
    assert not [request for request in hub.requests if "parquet" in request]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    failed = await ingest(service, (await queued(service, viewer)).id)
    assert failed.error is not None
    assert failed.error["code"] == "HUB_OUT_OF_REACH"


@pytest.mark.usefixtures("hub")
async def test_the_workers_token_opens_what_is_gated(
    service: Service, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    ready = await ingest(service, (await queued(service, viewer, id="ann/gated")).id)
    assert (ready.status, ready.record_count) == (TaskStatus.READY, 30)


async def test_a_deleted_dataset_is_fetched_no_further(
    service: Service, viewer: Viewer, hub: Hub
) -> None:
    hub.held = Event()
    dataset = await queued(service, viewer)
    running = asyncio.create_task(ingest(service, dataset.id))
    await eventually(lambda: any("/resolve/" in each for each in hub.requests))
    await datasets.delete(viewer, dataset.id, artifacts=service.artifacts)
    with pytest.raises(DoesNotExist):
        await running
    hub.held.set()
    assert list((service.artifacts.root / "datasets").iterdir()) == []


@pytest.mark.usefixtures("hub")
async def test_a_dataset_whose_worker_died_is_fetched_anew(
    service: Service, viewer: Viewer
) -> None:
    dataset = await queued(service, viewer)
    half = service.artifacts.dataset(dataset.id) / ".hub.partial" / "data"
    half.mkdir(parents=True)
    (half / "train-00000-of-00002.parquet").write_bytes(b"half of it")
    await Dataset.filter(id=dataset.id).update(
        status=TaskStatus.RUNNING,
        worker_id="dead",
        attempt=1,
        progress=50.0,
        lease_expires_at=datetime.now(UTC) - timedelta(seconds=1),
    )
    assert await tasks.requeue_lapsed(Work.INGEST, 3) == [(dataset.id, 2)]
    ready = await ingest(service, dataset.id)
    assert (ready.status, ready.attempt, ready.record_count) == (TaskStatus.READY, 2, 30)
    assert ".hub.partial" not in names(service, dataset)


@pytest.mark.usefixtures("hub")
async def test_bad_rows_of_the_hub_are_named_by_file_and_what_was_fetched_is_kept_in_mind(
    service: Service, viewer: Viewer
) -> None:
    failed = await ingest(service, (await queued(service, viewer, id="ann/bad")).id)
    assert failed.error is not None
    assert failed.hub is not None
    assert (failed.error["code"], failed.hub["commit"]) == ("INVALID_RECORDS", COMMIT)
    assert "train.jsonl, line 4" in failed.error["message"]


@pytest.mark.parametrize(
    ("part", "given"),
    [("id", ""), ("split", "a\u0000"), ("config", "x" * 201), ("revision", "")],
)
async def test_names_that_can_be_none_are_refused_at_once(
    service: Service, viewer: Viewer, part: str, given: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await queued(service, viewer, **{part: given})
    assert [each.path for each in refused.value.findings] == [("source", "hub", part)]
    assert await Dataset.all().count() == 0
