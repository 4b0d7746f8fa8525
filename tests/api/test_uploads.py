"""Files sent by PUT: in parts, after a break, two at once, and all that is refused."""

import asyncio
import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from jobs.access import Role
from jobs.data import arrival
from jobs.models import AuditEntry, Upload
from jobs.settings import Settings
from jobs.status import UploadStatus
from jobs.tokens import Tokens
from schema import ids
from tests.api.clients import Client
from tests.api.sending import (
    CONTENT,
    GET_UPLOAD,
    SHA256,
    announce,
    putting,
    reached,
)
from tests.factories import make_viewer
from tests.jobs.stage import eventually

MAX_BYTES = 8_000_000
QUOTA_BYTES = 10_000_000
SIZE = len(CONTENT)
HALF = SIZE // 2


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Limits that a test can reach."""
    limits = {"max_upload_bytes": MAX_BYTES, "upload_quota_bytes": QUOTA_BYTES}
    return settings.model_copy(update=limits)


@pytest.fixture
async def viewer(client: Client) -> Client:
    return await client.as_viewer(await make_viewer())


def stored(viewer: Client, upload_id: str) -> bytes:
    key = ids.decode(ids.Kind.UPLOAD, upload_id)
    return viewer.service.artifacts.uploaded(key).read_bytes()


def refused(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json()["errors"][0]["extensions"]["code"]


def span(first: int, last: int | str, total: int) -> dict[str, str]:
    return {"content-range": f"bytes {first}-{last}/{total}"}


async def test_a_file_is_sent_whole(viewer: Client) -> None:
    made = await announce(viewer)
    assert (made["status"], made["sizeBytes"], made["receivedBytes"]) == ("RECEIVING", None, 0)
    response = await viewer.http.put(made["url"], content=CONTENT)
    assert (response.status_code, response.json()) == (
        200,
        {"receivedBytes": SIZE, "sha256": SHA256},
    )
    assert stored(viewer, made["id"]) == CONTENT
    found = (await viewer.data(GET_UPLOAD, id=made["id"]))["getUpload"]
    assert found == {
        "id": made["id"],
        "name": "sums.jsonl",
        "status": "READY",
        "sizeBytes": SIZE,
        "receivedBytes": SIZE,
        "sha256": SHA256,
    }
    assert [entry.action for entry in await AuditEntry.all()] == ["createUpload"]
    assert refused(await viewer.http.put(made["url"], content=CONTENT)) == (409, "CONFLICT")
    assert stored(viewer, made["id"]) == CONTENT


async def test_a_file_is_sent_in_parts(viewer: Client) -> None:
    made = await announce(viewer, sizeBytes=SIZE, sha256=SHA256)
    url = made["url"]
    first = await viewer.http.put(url, content=CONTENT[:HALF], headers=span(0, HALF - 1, SIZE))
    assert (first.status_code, first.headers["upload-offset"]) == (202, str(HALF))
    assert await reached(viewer, url) == (HALF, False)
    wrong = [span(0, SIZE - 1, SIZE), span(HALF + 1, SIZE - 1, SIZE), span(HALF - 1, HALF, SIZE)]
    for headers in wrong:
        length = int(headers["content-range"].split("-")[1].split("/")[0]) + 1
        start = int(headers["content-range"].split(" ")[1].split("-")[0])
        response = await viewer.http.put(url, content=CONTENT[start:length], headers=headers)
        assert refused(response) == (409, "WRONG_OFFSET")
        assert response.headers["upload-offset"] == str(HALF)

    async def chunked() -> Any:
        yield CONTENT[HALF:-1]
        yield CONTENT[-1:]

    last = await viewer.http.put(url, content=chunked(), headers=span(HALF, SIZE - 1, SIZE))
    assert (last.status_code, last.json()["sha256"]) == (200, SHA256)
    assert await reached(viewer, url) == (SIZE, True)
    assert stored(viewer, made["id"]) == CONTENT


async def test_what_came_before_the_connection_broke_is_kept(viewer: Client) -> None:
    made = await announce(viewer, sizeBytes=SIZE, sha256=SHA256)
    async with putting(viewer.address, made["url"], f"content-length: {SIZE}") as (_, writer):
        writer.write(CONTENT[:HALF])
        await writer.drain()
        await asyncio.sleep(0.1)

    async def is_kept() -> bool:
        return await reached(viewer, made["url"]) == (HALF, False)

    await eventually(is_kept)
    rest = await viewer.http.put(
        made["url"], content=CONTENT[HALF:], headers=span(HALF, SIZE - 1, SIZE)
    )
    assert rest.status_code == 200
    assert stored(viewer, made["id"]) == CONTENT


async def test_of_two_at_once_one_is_refused_and_spoils_nothing(viewer: Client) -> None:
    made = await announce(viewer, sizeBytes=SIZE)
    async with putting(viewer.address, made["url"], f"content-length: {SIZE}") as (reader, writer):
        writer.write(CONTENT[:HALF])
        key = ids.decode(ids.Kind.UPLOAD, made["id"])
        folder = viewer.service.artifacts.upload(key)
        await eventually(lambda: folder.exists() and any(folder.iterdir()))
        response = await viewer.http.put(made["url"], content=b"x" * SIZE)
        assert refused(response) == (409, "UPLOAD_BUSY")
        writer.write(CONTENT[HALF:])
        assert (await reader.readline()).split()[1] == b"200"
    assert stored(viewer, made["id"]) == CONTENT


async def test_a_sender_that_falls_silent_is_let_go(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "SILENCE_SECONDS", 0.2)
    made = await announce(viewer, sizeBytes=SIZE)
    async with putting(viewer.address, made["url"], f"content-length: {SIZE}") as (reader, writer):
        writer.write(CONTENT[:HALF])
        assert (await reader.readline()).split()[1] == b"408"
    assert await reached(viewer, made["url"]) == (HALF, False)


async def test_a_wrong_checksum_is_refused_and_the_upload_begins_anew(viewer: Client) -> None:
    made = await announce(viewer, sizeBytes=SIZE, sha256=SHA256)
    response = await viewer.http.put(made["url"], content=b"x" * SIZE)
    assert refused(response) == (422, "CHECKSUM_MISMATCH")
    assert await reached(viewer, made["url"]) == (0, False)
    assert (await viewer.http.put(made["url"], content=CONTENT)).status_code == 200
    assert stored(viewer, made["id"]) == CONTENT


async def test_too_much_is_refused(viewer: Client) -> None:
    known = await announce(viewer, sizeBytes=SIZE)
    unknown = await announce(viewer)
    response = await viewer.http.put(known["url"], content=CONTENT + b"x")
    assert refused(response) == (413, "TOO_LARGE")
    response = await viewer.http.put(unknown["url"], content=b"x" * (MAX_BYTES + 1))
    assert refused(response) == (413, "TOO_LARGE")

    async def endless() -> Any:
        for _ in range(50):
            yield CONTENT

    response = await viewer.http.put(
        known["url"], content=endless(), headers=span(0, SIZE - 1, SIZE)
    )
    assert refused(response) == (413, "TOO_LARGE")
    assert await reached(viewer, unknown["url"]) == (0, False)
    assert await reached(viewer, known["url"]) == (SIZE, False)
    finished = await viewer.http.put(known["url"], headers={"content-range": f"bytes */{SIZE}"})
    assert (finished.status_code, finished.json()["sha256"]) == (200, SHA256)


@pytest.mark.parametrize(
    ("headers", "content", "expected"),
    [
        ({}, b"", (400, "BAD_REQUEST")),
        ({"content-range": "bytes 0-9/10"}, b"123", (400, "BAD_REQUEST")),
        ({"content-range": "bytes 5-3/10"}, b"", (400, "BAD_REQUEST")),
        ({"content-range": "bytes 0-10/10"}, b"12345678901", (400, "BAD_REQUEST")),
        ({"content-range": "bytes 0-2/*"}, b"123", (400, "BAD_REQUEST")),
        ({"content-range": "lines 0-2/3"}, b"123", (400, "BAD_REQUEST")),
        ({"content-range": "bytes */0"}, b"", (400, "BAD_REQUEST")),
        ({}, b"shorter than announced", (400, "INVALID")),
    ],
)
async def test_a_length_that_makes_no_sense_is_refused(
    viewer: Client, headers: dict[str, str], content: bytes, expected: tuple[int, str]
) -> None:
    made = await announce(viewer, sizeBytes=SIZE)
    response = await viewer.http.put(made["url"], content=content, headers=headers)
    assert refused(response) == expected
    assert await reached(viewer, made["url"]) == (0, False)


async def test_a_length_must_be_told(viewer: Client) -> None:
    made = await announce(viewer)

    async def chunked() -> Any:
        yield CONTENT

    response = await viewer.http.put(made["url"], content=chunked())
    assert refused(response) == (411, "LENGTH_MISSING")


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The system refuses to let any file of this process grow beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_loses_nothing_that_was_there(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "SYNC_BYTES", 1_000_000)
    content = bytes(range(256)) * 28_000  # more than a database of the tests has
    sha256 = hashlib.sha256(content).hexdigest()
    made = await announce(viewer, sizeBytes=len(content), sha256=sha256)
    with files_of_at_most(5_000_000):
        response = await viewer.http.put(made["url"], content=content)
        assert refused(response) == (507, "STORAGE_FULL")
        offset, complete = await reached(viewer, made["url"])
    assert complete is False
    assert 3_000_000 < offset < 5_000_000
    rest = span(offset, len(content) - 1, len(content))
    response = await viewer.http.put(made["url"], content=content[offset:], headers=rest)
    assert (response.status_code, response.json()["sha256"]) == (200, sha256)


async def test_uploads_count_against_a_quota(viewer: Client) -> None:
    first = await announce(viewer, sizeBytes=MAX_BYTES)
    refusal = await announce(viewer, sizeBytes=QUOTA_BYTES - MAX_BYTES + 1)
    assert (refusal["__typename"], refusal["code"]) == ("ConflictProblem", "QUOTA_EXCEEDED")
    unknown = await announce(viewer)
    content = b"x" * (QUOTA_BYTES - MAX_BYTES + 1)
    response = await viewer.http.put(unknown["url"], content=content)
    assert refused(response) == (413, "QUOTA_EXCEEDED")
    other = await viewer.as_viewer(await make_viewer())
    assert (await announce(other, sizeBytes=MAX_BYTES))["__typename"] == "Upload"
    deletion = "mutation($id: ID!) { deleteUpload(uploadId: $id) { __typename } }"
    for id_, kind in (
        (first["id"], "DeletedUpload"),
        (first["id"], "NotFoundProblem"),
    ):
        assert (await viewer.data(deletion, id=id_)) == {"deleteUpload": {"__typename": kind}}
    response = await viewer.http.put(unknown["url"], content=content)
    assert response.status_code == 200


async def test_announcements_at_once_do_not_get_past_the_quota(viewer: Client) -> None:
    size = QUOTA_BYTES // 3
    answers = await asyncio.gather(*(announce(viewer, sizeBytes=size) for _ in range(6)))
    kinds = sorted(answer["__typename"] for answer in answers)
    assert kinds == ["ConflictProblem"] * 3 + ["Upload"] * 3
    assert await Upload.all().count() == 3


@pytest.mark.parametrize(
    ("known", "code", "path"),
    [
        ({"name": " "}, "NAME", ["name"]),
        ({"name": "a\nb"}, "NAME", ["name"]),
        ({"sizeBytes": 0}, "SIZE", ["sizeBytes"]),
        ({"sizeBytes": MAX_BYTES + 1}, "SIZE", ["sizeBytes"]),
        ({"sha256": "A" * 64}, "SHA256", ["sha256"]),
        ({"sha256": "a" * 63}, "SHA256", ["sha256"]),
    ],
)
async def test_a_bad_announcement_is_refused(
    viewer: Client, known: dict[str, Any], code: str, path: list[str]
) -> None:
    answer = await announce(viewer, **known)
    assert answer["findings"] == [{"code": code, "path": path}]
    assert await Upload.all().count() == 0


async def test_the_same_file_announced_again_goes_on_where_it_was(viewer: Client) -> None:
    first = await announce(viewer, sizeBytes=SIZE, sha256=SHA256)
    await viewer.http.put(first["url"], content=CONTENT[:HALF], headers=span(0, HALF - 1, SIZE))
    again = await announce(viewer, sizeBytes=SIZE, sha256=SHA256)
    assert (again["id"], again["receivedBytes"]) == (first["id"], HALF)
    other = await viewer.as_viewer(await make_viewer())
    theirs = await announce(other, sizeBytes=SIZE, sha256=SHA256)
    assert theirs["id"] != first["id"]
    assert theirs["receivedBytes"] == 0


async def test_a_link_that_does_not_hold_is_refused(viewer: Client) -> None:
    made = await announce(viewer)
    key = ids.decode(ids.Kind.UPLOAD, made["id"])
    tokens = viewer.service.tokens
    other = Tokens("another secret, as long as it has to be", 900, 900, 900)
    assert viewer.token is not None
    links = {
        tokens.sign_upload(key, -1): (401, "UNAUTHENTICATED"),
        other.sign_upload(key, 900): (401, "UNAUTHENTICATED"),
        tokens.sign_download(key, "content"): (401, "UNAUTHENTICATED"),
        viewer.token: (401, "UNAUTHENTICATED"),
        "x": (401, "UNAUTHENTICATED"),
        tokens.sign_upload(uuid4(), 900): (404, "NOT_FOUND"),
    }
    for token, expected in links.items():
        assert refused(await viewer.http.put(f"/uploads/{token}", content=b"x")) == expected
        assert (await viewer.http.head(f"/uploads/{token}")).status_code == expected[0]
    assert (await viewer.http.get(made["url"])).status_code == 405
    assert await Upload.filter(received_bytes=0, status=UploadStatus.RECEIVING).count() == 1


async def test_uploads_are_their_owners_own(viewer: Client) -> None:
    made = await announce(viewer)
    stranger = await viewer.as_viewer(await make_viewer())
    admin = await viewer.as_viewer(await make_viewer(Role.ADMIN))
    reader = await viewer.as_viewer(await make_viewer(Role.VIEWER))
    node = "query($id: ID!) { getUpload: node(id: $id) { id } }"
    for query in (GET_UPLOAD, node):
        assert await stranger.data(query, id=made["id"]) == {"getUpload": None}
        assert (await admin.data(query, id=made["id"]))["getUpload"]["id"] == made["id"]
    deletion = "mutation($id: ID!) { m: deleteUpload(uploadId: $id) { __typename } }"
    assert await stranger.data(deletion, id=made["id"]) == {"m": {"__typename": "NotFoundProblem"}}
    creation = 'mutation { createUpload(input: {name: "x"}) { __typename } }'
    assert await reader.code(creation) == "FORBIDDEN"
    assert await viewer.with_token("").code(creation) == "UNAUTHENTICATED"
    assert await Upload.all().count() == 1
