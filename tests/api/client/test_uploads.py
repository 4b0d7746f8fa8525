"""Sending files: over connections that break, beside others, and to servers that refuse."""

import asyncio
import hashlib
import os
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from api.client import ClientError, Refused, Unreachable, uploads
from api.client.uploads import Upload, fingerprint, send
from jobs.models import Upload as UploadRow
from jobs.service import Service
from jobs.status import TaskStatus, UploadStatus
from schema import ids
from tests.api.client.proxy import wire_to
from tests.api.client.sessions import logged_in
from tests.factories import make_viewer
from tests.ingesting import ingest
from training.config import DataType

SIZE = 12_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


async def announced(server: str, service: Service, file: Path) -> Upload:
    async with logged_in(server, service, await make_viewer()) as client:
        return await client.create_upload(file.name, *await fingerprint(file))


async def content(service: Service) -> bytes:
    row = await UploadRow.get()
    assert row.status is UploadStatus.READY
    return service.artifacts.uploaded(row.id).read_bytes()


async def test_a_transfer_whose_connections_break_goes_on_where_it_was(
    server: str, service: Service, file: Path
) -> None:
    upload = await announced(server, service, file)
    told: list[int] = []
    cuts = [4_000_000, 8_000_000]
    async with wire_to(server) as wire:

        def progress(done: int) -> None:
            told.append(done)
            if cuts and done >= cuts[0]:
                cuts.pop(0)
                wire.cut()

        await send(wire.url, upload, file, on_progress=progress)
        assert wire.connections >= 3
    assert await content(service) == file.read_bytes()
    assert told[-1] == SIZE
    restarts = [now for before, now in pairwise(told) if now < before]
    assert len(restarts) == 2
    assert all(restart > 0 for restart in restarts)


async def test_what_is_there_is_not_sent_again(server: str, service: Service, file: Path) -> None:
    upload = await announced(server, service, file)
    half = SIZE // 2
    async with httpx.AsyncClient(base_url=f"http://{server}") as http:
        part = {"content-range": f"bytes 0-{half - 1}/{SIZE}"}
        await http.put(upload.url, content=file.read_bytes()[:half], headers=part)
    told: list[int] = []
    await send(f"http://{server}", upload, file, on_progress=told.append)
    assert told[0] == half
    assert await content(service) == file.read_bytes()
    told.clear()
    await send(f"http://{server}", upload, file, on_progress=told.append)
    assert told == [SIZE]


async def test_two_senders_of_one_file_both_end_with_all_of_it(
    server: str, service: Service, file: Path
) -> None:
    upload = await announced(server, service, file)
    sends = [send(f"http://{server}", upload, file, on_progress=lambda _: None) for _ in range(2)]
    await asyncio.gather(*sends)
    assert await content(service) == file.read_bytes()


async def test_refusals_have_their_code_and_remedy(
    server: str, service: Service, file: Path
) -> None:
    upload = await announced(server, service, file)
    other = file.with_name("other.bin")
    other.write_bytes(bytes(SIZE))
    with pytest.raises(Refused) as caught:
        await send(f"http://{server}", upload, other, on_progress=lambda _: None)
    assert caught.value.code == "CHECKSUM_MISMATCH"
    assert hashlib.sha256(bytes(SIZE)).hexdigest() in caught.value.message
    assert caught.value.remedy == "Send the file again from its beginning."
    other.write_bytes(b"shorter")
    with pytest.raises(ClientError, match="changed while it was sent"):
        await send(f"http://{server}", upload, other, on_progress=lambda _: None)
    lost = upload.model_copy(update={"url": "/uploads/x"})
    with pytest.raises(Refused, match="401"):
        await send(f"http://{server}", lost, file, on_progress=lambda _: None)


async def test_a_server_that_stays_away_is_given_up(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SILENCE_SECONDS", 0.3)
    size_bytes, sha256 = await fingerprint(file)
    upload = Upload(
        id="u", name="f", size_bytes=size_bytes, received_bytes=0, sha256=sha256, url="/uploads/x"
    )
    with pytest.raises(Unreachable):
        await send("http://127.0.0.1:9", upload, file, on_progress=lambda _: None)


async def test_a_sent_file_becomes_a_dataset(server: str, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n')
    async with logged_in(server, service) as client:
        upload = await client.create_upload(file.name, *await fingerprint(file))
        await send(f"http://{server}", upload, file, on_progress=lambda _: None)
        begun = await client.create_dataset("texts", upload, data_type=DataType.TEXT)
        assert (begun.status, begun.sha256) == (TaskStatus.QUEUED, None)
        await ingest(service, ids.decode(ids.Kind.DATASET, begun.id))
        dataset = await client.dataset(begun.id)
    assert dataset is not None
    assert (dataset.status, dataset.record_count, dataset.rejected_count) == (
        TaskStatus.READY,
        2,
        0,
    )
