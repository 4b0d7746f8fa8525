"""How soon an upload is looked at and a dataset previewed: `python -m benchmarks.looks [MODEL]`.

Both are asked over HTTP, of 16 MB of conversations, by a model's own tokenizer or else a tiny one's.
Prints milliseconds, and CPU milliseconds of the server and its child processes, which say more where
the machine is shared. Exits 1 where the median is over the limit.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.api import Connection
from benchmarks.machine import describe_machine
from benchmarks.server import Server, running_server
from jobs.models import BaseModel, Dataset, Upload
from jobs.service import Service, open_service
from jobs.settings import Settings
from jobs.status import UploadStatus
from schema import ids
from tests.factories import make_dataset, make_model, make_viewer
from tests.tiny_model import make_tiny_model
from training.config import DataType
from training.data.records import canonical_line

MAX_MS: Final = 500.0
CALLS: Final = 20
PAUSE_SECONDS: Final = 1.5
"""Before each: whoever looks again has read something first, and the next reader has started."""
SIZE_BYTES: Final = 16 * 10**6
TURN: Final = {
    "user": "Which river flows through the capital of this country, and how long is it by now?",
    "assistant": "That depends on where it is measured. " * 8,
}

INSPECT: Final = """query($upload: ID!) { inspectUpload(uploadId: $upload) {
  container sampledRows leftOut { column rows } rows { line raw record }
  problem { code message } } }"""
PREVIEW: Final = """query($dataset: ID!, $model: ID!, $after: String) {
  previewDataset(datasetId: $dataset, modelId: $model, first: 5, after: $after) {
    ... on DatasetPreview { stopTokens records { pageInfo { endCursor } edges { node {
      line text tokens { id text trained } tokenCount trainedTokenCount } } } }
    ... on Problem { code message } } }"""


def main() -> int:
    """Measure, print, and judge."""
    with running_server() as server:
        source = Path(sys.argv[1]) if sys.argv[1:] else server.settings.home / "tiny"
        if not sys.argv[1:]:
            make_tiny_model(source)
        token, variables = asyncio.run(_prepare(server.settings, source.resolve()))
        return asyncio.run(_measure(server, token, variables))


async def _prepare(settings: Settings, source: Path) -> tuple[str, dict[str, str]]:
    """An upload and a dataset of the same records, and a model."""
    async with open_service(settings) as service:
        viewer = await make_viewer(email="bench@example.org")
        model = await make_model(viewer, source=str(source))
        dataset = await make_dataset(viewer, service, data_type=DataType.CHAT, records=[_record(0)])
        count = await asyncio.to_thread(_write_records, service.artifacts.records(dataset.id))
        await Dataset.filter(id=dataset.id).update(record_count=count)
        upload = await _upload(service, dataset)
        token = service.tokens.issue(await dataset.owner).access_token
        return token, _ids(upload, dataset, model)


async def _upload(service: Service, dataset: Dataset) -> Upload:
    """The dataset's records as a file that has come whole."""
    path = service.artifacts.records(dataset.id)
    upload = await Upload.create(
        name="chats.jsonl",
        status=UploadStatus.READY,
        size_bytes=path.stat().st_size,
        received_bytes=path.stat().st_size,
        expires_at=datetime.now(UTC) + timedelta(days=1),
        owner_id=dataset.owner_id,
    )
    content = await asyncio.to_thread(path.read_bytes)
    await asyncio.to_thread(service.artifacts.write, service.artifacts.uploaded(upload.id), content)
    return upload


def _ids(upload: Upload, dataset: Dataset, model: BaseModel) -> dict[str, str]:
    return {
        "upload": ids.encode(ids.Kind.UPLOAD, upload.id),
        "dataset": ids.encode(ids.Kind.DATASET, dataset.id),
        "model": ids.encode(ids.Kind.MODEL, model.id),
    }


def _write_records(path: Path) -> int:
    count = size_bytes = 0
    with path.open("wb") as file:
        while size_bytes < SIZE_BYTES:
            size_bytes += file.write(canonical_line(_record(count)))
            count += 1
    return count


def _record(number: int) -> dict[str, Any]:
    turns = [{"role": role, "content": f"{number}. {text}"} for role, text in TURN.items()]
    return {"messages": turns * 3}


async def _measure(server: Server, token: str, given: dict[str, str]) -> int:
    connection = await Connection.open(server.port, token)
    print(describe_machine())
    inspected = {name: given[name] for name in ("upload",)}
    previewed = {name: given[name] for name in ("dataset", "model")}
    medians = [
        await _timed("inspectUpload", connection, server, INSPECT, inspected),
        await _timed("previewDataset", connection, server, PREVIEW, previewed),
    ]
    return 0 if max(medians) <= MAX_MS else 1


async def _timed(
    name: str, connection: Connection, server: Server, query: str, variables: dict[str, str]
) -> float:
    body = {"query": query, "variables": variables}
    first = (await connection.post("/graphql", body))["data"][name]
    assert first.get("rows") or first.get("records"), json.dumps(first)[:500]
    milliseconds, before = [], _cpu_seconds(server.pid)
    for _ in range(CALLS):
        await asyncio.sleep(PAUSE_SECONDS)
        started = time.perf_counter()
        await connection.post("/graphql", body)
        milliseconds.append((time.perf_counter() - started) * 1000)
    cpu = (_cpu_seconds(server.pid) - before) / CALLS * 1000
    milliseconds.sort()
    median = statistics.median(milliseconds)
    print(
        f"{name:<15} {median:7.0f} ms p50 (limit {MAX_MS:.0f}), p95 {milliseconds[-2]:.0f}, "
        f"least {milliseconds[0]:.0f}; CPU {cpu:.0f} ms a call, {CALLS} calls"
    )
    return median


def _cpu_seconds(pid: int) -> float:
    """Of a process and its children, those that have ended too."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile, and its parent counts it
            continue
        if pid in (int(path.parent.name), int(fields[1])):
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
