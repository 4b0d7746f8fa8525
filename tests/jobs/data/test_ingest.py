"""Uploads taken in by a worker: killed, crashed, deleted, and kept until they are used."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tortoise.exceptions import DoesNotExist

from jobs.access import Viewer
from jobs.data import datasets, deletion, uploads
from jobs.data.datasets import OnInvalid, UploadDraft
from jobs.data.uploads import Announced
from jobs.errors import Conflict, NotFound
from jobs.execution import tasks
from jobs.execution.sweep import sweep
from jobs.models import AuditEntry, Dataset, Upload
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus, UploadStatus
from tests.factories import QA
from tests.ingesting import ingest
from tests.jobs.stage import Step, eventually, make_viewer, starts, write_script
from tests.processes import is_alive

CONTENT = "".join(json.dumps(record) + "\n" for record in QA).encode()


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def uploaded(service: Service, viewer: Viewer, content: bytes = CONTENT) -> Upload:
    """An upload that is whole."""
    upload = await uploads.create(viewer, Announced("sums.jsonl"), settings=service.settings)
    service.artifacts.write(service.artifacts.uploaded(upload.id), content)
    size = {"size_bytes": len(content), "received_bytes": len(content)}
    await Upload.filter(id=upload.id).update(status=UploadStatus.READY, **size)
    return await Upload.get(id=upload.id)


async def queued(
    service: Service, viewer: Viewer, upload: Upload, on_invalid: OnInvalid = OnInvalid.ERROR
) -> Dataset:
    draft = UploadDraft("sums", None, upload.id, on_invalid=on_invalid)
    return await datasets.ingest(viewer, draft, settings=service.settings, queue=service.queue)


async def scripted_dataset(service: Service, viewer: Viewer, *steps: Step) -> tuple[Dataset, Path]:
    """A queued dataset whose child plays these steps, and the folder that tells of its starts."""
    upload = await uploaded(service, viewer)
    folder = service.artifacts.upload(upload.id)
    write_script(folder, list(steps))
    return await queued(service, viewer, upload), folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_dataset_whose_worker_died_is_made_anew_from_the_whole_file(
    service: Service, viewer: Viewer
) -> None:
    upload = await uploaded(service, viewer)
    dataset = await queued(service, viewer, upload)
    folder = service.artifacts.dataset(dataset.id)
    folder.mkdir(parents=True)
    for name in ("records.jsonl", "result.json", ".records.jsonl.0.partial"):
        (folder / name).write_text("half of another attempt")
    await Dataset.filter(id=dataset.id).update(
        status=TaskStatus.RUNNING,
        worker_id="dead",
        attempt=1,
        progress=50.0,
        lease_expires_at=datetime.now(UTC) - timedelta(seconds=1),
    )
    assert await tasks.requeue_lapsed(Work.INGEST, 3) == [(dataset.id, 2)]
    ready = await ingest(service, dataset.id)
    assert (ready.status, ready.attempt, ready.crashes) == (TaskStatus.READY, 2, 1)
    assert (ready.record_count, ready.progress, ready.upload_id) == (20, 100.0, None)
    assert len(service.artifacts.records(dataset.id).read_bytes()) == ready.size_bytes
    assert not [name for name in names(folder) if name.endswith(".partial")]
    assert await Upload.all().count() == 0


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("last", "code", "told"),
    [
        ("abort", "SOURCE_CRASHES", "The file brought its reader down (SIGABRT)"),
        ("die", "CHILD_CRASHED", "The process died with signal 9."),
    ],
)
async def test_a_reader_that_dies_fails_the_dataset_once_and_leaves_nothing_half(
    service: Service, viewer: Viewer, last: str, code: str, told: str
) -> None:
    steps: list[Step] = [["touch", ".records.jsonl.1.partial"], [last]]
    dataset, home = await scripted_dataset(service, viewer, *steps)
    past = datetime.now(UTC) - timedelta(seconds=1)
    await Upload.filter(id=dataset.upload_id).update(expires_at=past)
    failed = await ingest(service, dataset.id)
    assert failed.status is TaskStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == code
    assert told in failed.error["message"]
    assert names(service.artifacts.dataset(dataset.id)) <= {"ingest.json", "task.log", "starts"}
    await sweep(service.settings, service.queue)
    assert (await Dataset.get(id=dataset.id)).status is TaskStatus.FAILED
    assert len(starts(home)) == 1
    kept = await Upload.get()
    assert kept.expires_at > datetime.now(UTC) + timedelta(hours=23)


@pytest.mark.usefixtures("scripted")
async def test_progress_is_told_while_a_dataset_is_made(service: Service, viewer: Viewer) -> None:
    dataset, _ = await scripted_dataset(service, viewer, ["progress", 40.0], ["sleep", 0.4])
    running = asyncio.create_task(ingest(service, dataset.id))
    told = [row.progress async for row in datasets.follow(viewer, dataset.id)]
    await running
    assert told[0] == 0.0
    assert 40.0 in told


@pytest.mark.usefixtures("scripted")
async def test_a_dataset_that_is_deleted_while_it_is_made_leaves_nothing_but_its_upload(
    service: Service, viewer: Viewer
) -> None:
    dataset, home = await scripted_dataset(service, viewer, ["ignore_term"], ["hang"])
    running = asyncio.create_task(ingest(service, dataset.id))
    follower = asyncio.create_task(_last(viewer, dataset))
    await eventually(lambda: bool(starts(home)))
    await deletion.delete(viewer, dataset.id, artifacts=service.artifacts)
    with pytest.raises(DoesNotExist):
        await running
    assert not is_alive(starts(home)[0])
    assert list((service.artifacts.root / "datasets").iterdir()) == []
    assert await Dataset.all().count() == 0
    assert await Upload.all().count() == 1
    assert await follower in (TaskStatus.QUEUED, TaskStatus.RUNNING)
    assert await AuditEntry.filter(action="deleteDataset").count() == 1


async def _last(viewer: Viewer, dataset: Dataset) -> TaskStatus:
    return [row.status async for row in datasets.follow(viewer, dataset.id)][-1]


async def test_a_dataset_deleted_before_a_worker_wrote_of_it_leaves_no_folder(
    service: Service, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await queued(service, viewer, await uploaded(service, viewer))
    command = tasks.IngestFile.command

    async def late(*arguments: object) -> object:
        told = await command(*arguments)  # type: ignore[arg-type]
        await deletion.delete(viewer, dataset.id, artifacts=service.artifacts)
        return told

    monkeypatch.setattr(tasks.IngestFile, "command", late)
    with pytest.raises(DoesNotExist):
        await ingest(service, dataset.id)
    assert list((service.artifacts.root / "datasets").iterdir()) == []


async def test_an_upload_is_kept_while_a_dataset_is_being_made_of_it(
    service: Service, viewer: Viewer
) -> None:
    upload = await uploaded(service, viewer)
    dataset = await queued(service, viewer, upload)
    past = datetime.now(UTC) - timedelta(days=2)
    for status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
        lease = datetime.now(UTC) + timedelta(seconds=30)
        await Dataset.filter(id=dataset.id).update(status=status, lease_expires_at=lease)
        await Upload.filter(id=upload.id).update(expires_at=past)
        await sweep(service.settings, service.queue)
        with pytest.raises(Conflict):
            await uploads.delete(viewer, upload.id, artifacts=service.artifacts)
        with pytest.raises(Conflict):
            await queued(service, viewer, upload)
        assert service.artifacts.uploaded(upload.id).read_bytes() == CONTENT
    await Dataset.filter(id=dataset.id).update(status=TaskStatus.FAILED)
    await Upload.filter(id=upload.id).update(expires_at=past)
    await sweep(service.settings, service.queue)
    assert await Upload.all().count() == 0
    assert service.artifacts.upload_folders() == {}


async def test_of_two_datasets_made_of_one_upload_at_once_one_is_queued(
    service: Service, viewer: Viewer
) -> None:
    upload = await uploaded(service, viewer)
    both = (queued(service, viewer, upload) for _ in range(2))
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict", "Dataset"]
    assert await Dataset.all().count() == 1


async def test_a_file_that_is_gone_fails_its_dataset(service: Service, viewer: Viewer) -> None:
    upload = await uploaded(service, viewer)
    dataset = await queued(service, viewer, upload)
    service.artifacts.uploaded(upload.id).unlink()
    failed = await ingest(service, dataset.id)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == (TaskStatus.FAILED, "UPLOAD_GONE")


async def test_a_stranger_can_neither_use_nor_follow(service: Service, viewer: Viewer) -> None:
    upload = await uploaded(service, viewer)
    dataset = await queued(service, viewer, upload)
    stranger = await make_viewer()
    with pytest.raises(NotFound):
        await queued(service, stranger, upload)
    with pytest.raises(NotFound):
        await anext(datasets.follow(stranger, dataset.id))
    with pytest.raises(NotFound):
        await uploads.delete(stranger, upload.id, artifacts=service.artifacts)
    assert (await Upload.get(id=upload.id)).owner_id == viewer.user_id
    assert names(service.artifacts.upload(upload.id)) == {"content"}
