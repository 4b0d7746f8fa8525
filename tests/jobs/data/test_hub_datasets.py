"""Splits of the hub made datasets by a worker: fetched by its child, stopped, done again, refused."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from typing import Any

import pytest
from tortoise.exceptions import DoesNotExist

from jobs.access import Viewer
from jobs.data import deletion, hub_datasets, uploads
from jobs.data.hub_datasets import HubDraft
from jobs.data.ingest import IngestFile
from jobs.data.uploads import Announced
from jobs.errors import InvalidInput, QuotaExceeded
from jobs.execution.tasks import perform
from jobs.models import Dataset, Examination
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus
from tests.hub import ROWS, TRAIN_BYTES, hub_for_children
from tests.ingesting import ingest
from tests.jobs.stage import eventually, make_viewer
from tests.training.data.fake_hub import COMMIT, Hub
from training.data.records import canonical_line

HALF_BYTES = 500
"""Less than the first file has."""


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
    assert service.artifacts.download_folders() == {}


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
    assert "records.jsonl" not in names(service, failed)
    assert service.artifacts.download_folders() == {}


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
    await deletion.delete(viewer, dataset.id, artifacts=service.artifacts)
    with pytest.raises(DoesNotExist):
        await running
    hub.held.set()
    assert list((service.artifacts.root / "datasets").iterdir()) == []
    assert service.artifacts.download_folders() == {}


async def counted(dataset: Dataset) -> bool:
    return (await Dataset.get(id=dataset.id)).source_bytes is not None


async def half_fetched(service: Service, dataset: Dataset, hub: Hub) -> asyncio.Task[Dataset]:
    """An attempt that has so much of the first file, and gets no further."""
    hub.held, hub.break_after = Event(), HALF_BYTES
    running = asyncio.create_task(ingest(service, dataset.id))
    folder = service.artifacts.download(dataset.id)
    await eventually(lambda: any(path.stat().st_size for path in folder.glob("0*.partial")), 20.0)
    await eventually(lambda: counted(dataset))
    return running


async def test_a_dataset_whose_worker_leaves_is_fetched_from_where_it_stopped(
    service: Service, viewer: Viewer, hub: Hub
) -> None:
    dataset = await queued(service, viewer)
    running = await half_fetched(service, dataset, hub)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    left = await Dataset.get(id=dataset.id)
    assert (left.status, left.source_bytes) == (TaskStatus.QUEUED, TRAIN_BYTES)
    assert hub.held is not None
    hub.held.set()
    await hub_datasets.remove_left(service.artifacts)  # a sweep meanwhile spares it
    ready = await ingest(service, dataset.id)
    assert (ready.status, ready.attempt, ready.record_count) == (TaskStatus.READY, 2, 30)
    path = f"/datasets/ann/sums/resolve/{COMMIT}/data/train-0000"
    assert [each for each in hub.requests if "/resolve/" in each] == [
        f"{path}0-of-00002.parquet",
        f"{path}0-of-00002.parquet bytes={HALF_BYTES}-",
        f"{path}1-of-00002.parquet",
    ]
    assert service.artifacts.download_folders() == {}


async def test_what_is_fetched_counts_among_what_its_owner_has_on_the_way(
    service: Service, viewer: Viewer, hub: Hub
) -> None:
    settings = service.settings.model_copy(update={"upload_quota_bytes": TRAIN_BYTES})
    dataset = await queued(service, viewer)
    running = await half_fetched(service, dataset, hub)
    with pytest.raises(QuotaExceeded, match=f"{TRAIN_BYTES} bytes; 1 more"):
        await uploads.create(viewer, Announced("a.jsonl", 1), settings=settings)
    _ = await uploads.create(await make_viewer(), Announced("a.jsonl", 1), settings=settings)
    second = await queued(service, viewer)
    failure = await IngestFile().refusal(second.id, settings)
    assert failure is None  # nothing is known of it yet
    shutil.copytree(service.artifacts.download(dataset.id), service.artifacts.download(second.id))
    failure = await IngestFile().refusal(second.id, settings)
    assert failure is not None
    assert (failure.code, (await Dataset.get(id=second.id)).source_bytes) == (
        "QUOTA_EXCEEDED",
        None,
    )
    assert hub.held is not None
    hub.held.set()
    assert (await running).status is TaskStatus.READY
    assert await IngestFile().refusal(second.id, settings) is None  # the first has made room


async def test_what_exceeds_the_quota_is_fetched_no_further(
    service: Service, viewer: Viewer, hub: Hub
) -> None:
    small = service.settings.model_copy(update={"upload_quota_bytes": TRAIN_BYTES - 1})
    hub.held = Event()
    dataset = await queued(service, viewer)
    await perform(
        *(Work.INGEST, dataset.id),
        worker_id="worker",
        settings=small,
        artifacts=service.artifacts,
    )
    hub.held.set()
    failed = await Dataset.get(id=dataset.id)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == (TaskStatus.FAILED, "QUOTA_EXCEEDED")
    assert "TUNERY_UPLOAD_QUOTA_BYTES" in failed.error["remedy"]
    assert list(service.artifacts.download_folders()) == [dataset.id]
    await hub_datasets.remove_left(service.artifacts)
    assert service.artifacts.download_folders() == {}


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
