"""What becomes of uploads when their time is over, and when a process dies amid one."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from jobs.access import Viewer
from jobs.data import arrival, uploads
from jobs.data.arrival import Part, receive
from jobs.data.uploads import Announced
from jobs.errors import Conflict, NotFound, WrongOffset
from jobs.execution.sweep import sweep
from jobs.models import Upload
from jobs.service import Service
from jobs.status import UploadStatus
from tests.jobs.stage import make_viewer

CONTENT = bytes(range(100))


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def put(service: Service, upload: Upload, content: bytes, start: int = 0) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    part = Part(start, len(content), len(CONTENT))
    return await receive(
        upload.id, part, chunks(), artifacts=service.artifacts, settings=service.settings
    )


async def announce(service: Service, viewer: Viewer) -> Upload:
    return await uploads.create(viewer, Announced("file"), settings=service.settings)


async def test_the_sweep_removes_what_expired_and_what_has_no_row(
    service: Service, viewer: Viewer
) -> None:
    artifacts = service.artifacts
    old, young = await announce(service, viewer), await announce(service, viewer)
    for upload in (old, young):
        await put(service, upload, CONTENT)
    stray = artifacts.uploaded(uuid4())
    artifacts.write(stray, b"left by a kill")
    past = datetime.now(UTC) - timedelta(seconds=1)
    await Upload.filter(id=old.id).update(expires_at=past)
    await sweep(service.settings, service.queue)
    assert [row.id for row in await Upload.all()] == [young.id]
    assert artifacts.upload_folders() == {young.id: artifacts.upload(young.id)}
    assert artifacts.uploaded(young.id).read_bytes() == CONTENT


async def test_an_upload_that_is_removed_while_it_is_sent_leaves_nothing(
    service: Service, viewer: Viewer
) -> None:
    upload = await announce(service, viewer)

    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT[:50]
        await uploads.delete(viewer, upload.id, artifacts=service.artifacts)
        yield CONTENT[50:]

    with pytest.raises(Conflict):
        await receive(
            upload.id,
            Part(0, 100, 100),
            chunks(),
            artifacts=service.artifacts,
            settings=service.settings,
        )
    assert service.artifacts.upload_folders() == {}
    with pytest.raises(NotFound):
        await put(service, upload, CONTENT)
    assert service.artifacts.upload_folders() == {}


async def test_a_part_that_was_never_made_durable_is_sent_again(
    service: Service, viewer: Viewer
) -> None:
    upload = await announce(service, viewer)
    await put(service, upload, CONTENT[:60])
    partial = service.artifacts.uploaded(upload.id).with_name(".content.partial")
    partial.write_bytes(CONTENT[:60] + b"not synced when the power failed")
    await put(service, upload, CONTENT[60:], start=60)
    assert service.artifacts.uploaded(upload.id).read_bytes() == CONTENT


async def test_a_file_that_has_less_than_its_row_says_goes_on_where_it_ends(
    service: Service, viewer: Viewer
) -> None:
    upload = await announce(service, viewer)
    await put(service, upload, CONTENT[:60])
    partial = service.artifacts.uploaded(upload.id).with_name(".content.partial")
    partial.write_bytes(CONTENT[:20])
    with pytest.raises(WrongOffset) as caught:
        await put(service, upload, CONTENT[60:], start=60)
    assert caught.value.offset == 20
    assert (await Upload.get(id=upload.id)).received_bytes == 20
    await put(service, upload, CONTENT[20:], start=20)
    assert service.artifacts.uploaded(upload.id).read_bytes() == CONTENT


async def test_a_process_killed_between_the_files_name_and_its_row_sends_it_again(
    service: Service, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await announce(service, viewer)
    await put(service, upload, CONTENT)
    await Upload.filter(id=upload.id).update(status=UploadStatus.RECEIVING)
    with pytest.raises(WrongOffset) as caught:
        await put(service, upload, b"", start=100)
    assert caught.value.offset == 0
    monkeypatch.setattr(arrival, "SYNC_BYTES", 10)
    assert (await put(service, upload, CONTENT)).status is UploadStatus.READY
    assert service.artifacts.uploaded(upload.id).read_bytes() == CONTENT
