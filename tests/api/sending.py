"""Announcing uploads, and sending them byte by byte over a connection that a test can cut."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from schema import ids
from tests.api.clients import Client
from tests.factories import QA
from tests.ingesting import settled

CONTENT = b"".join(json.dumps(record).encode() + b"\n" for record in QA)
SHA256 = hashlib.sha256(CONTENT).hexdigest()

CREATE_UPLOAD = """mutation($input: CreateUploadInput!) { createUpload(input: $input) { __typename
  ... on Upload { id name status sizeBytes receivedBytes sha256 url expiresAt }
  ... on Problem { code message remedy } ... on InvalidProblem { findings { code path } } } }"""
GET_UPLOAD = """query($id: ID!) { getUpload(id: $id) {
  id name status sizeBytes receivedBytes sha256 } }"""
_DATASET = """id name status progress error { code message remedy } dataType recordCount sizeBytes sha256
  source { __typename ... on UploadSource { name sizeBytes division } ... on HubSource { id config
    split revision commit partial sizeBytes } } container compression mapping { format dataType columns { part column } ignored }
  leftOut { column rows } statistics { records duplicates } downloadUrl onInvalid
  rejected { totalCount edges { node { line code message } } }"""
GET_DATASET = f"query($id: ID!) {{ getDataset(id: $id) {{ {_DATASET} }} }}"
CREATE_DATASET = (
    f"""mutation($input: CreateDatasetInput!) {{ createDataset(input: $input) {{
  __typename ... on Dataset {{ {_DATASET} }}"""
    """
  ... on Problem { code message } ... on InvalidProblem { findings { code path message } } } }"""
)


async def announce(viewer: Client, **known: Any) -> dict[str, Any]:
    """What createUpload answers."""
    given = {"name": "sums.jsonl"} | known
    answer = (await viewer.data(CREATE_UPLOAD, input=given))["createUpload"]
    assert isinstance(answer, dict)
    return answer


async def send(viewer: Client, content: bytes, name: str = "sums.jsonl") -> str:
    """The id of an upload that holds this."""
    made = await announce(viewer, name=name)
    assert (await viewer.http.put(made["url"], content=content)).status_code == 200
    return str(made["id"])


async def create(viewer: Client, upload_id: str, **changes: Any) -> dict[str, Any]:
    """What createDataset answers to an upload."""
    given = {"name": "sums", "source": {"uploadId": upload_id}} | changes
    answer = (await viewer.data(CREATE_DATASET, input=given))["createDataset"]
    assert isinstance(answer, dict)
    return answer


async def made(viewer: Client, upload_id: str, **changes: Any) -> dict[str, Any]:
    """The dataset that comes of an upload, once it is READY or FAILED."""
    begun = await create(viewer, upload_id, **changes)
    assert begun["__typename"] == "Dataset", begun
    assert (begun["status"], begun["progress"], begun["sha256"]) == ("QUEUED", 0.0, None)
    await settled(ids.decode(ids.Kind.DATASET, begun["id"]))
    answer = (await viewer.data(GET_DATASET, id=begun["id"]))["getDataset"]
    assert isinstance(answer, dict)
    return answer


async def reached(viewer: Client, url: str) -> tuple[int, bool]:
    """The offset that HEAD tells, and whether the upload is whole."""
    response = await viewer.http.head(url)
    assert response.status_code == 204
    return int(response.headers["upload-offset"]), response.headers["upload-complete"] == "?1"


@asynccontextmanager
async def putting(
    address: str, url: str, *headers: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A PUT of which only the head was sent; its connection breaks at the end of the block."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = (f"PUT {url} HTTP/1.1", f"host: {address}", *headers, "", "")
        writer.write("\r\n".join(head).encode())
        await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()
