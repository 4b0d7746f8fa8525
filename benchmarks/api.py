"""What GraphQL costs: CPU per request against a raw JSON route, and how fast a status query is.

`python -m benchmarks.api` prints the figures and exits 1 if a limit is missed.
"""

import asyncio
import json
import statistics
import sys
import time
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.server import Server, running_server
from jobs.service import open_service
from jobs.settings import Settings
from schema import ids
from tests.factories import make_job, make_viewer

MAX_RATIO: Final = 6.0
MAX_STATUS_MS: Final = 5.0
ROUNDS: Final = 10
REQUESTS: Final = 400

STATUS = """query Status($id: ID!) { getTrainingStatus(jobId: $id) {
  id status progress currentEpoch totalEpochs trainingLoss trainingAccuracy validationLoss
  validationAccuracy startedAt estimatedTimeRemaining
  metadata { checkpoints stoppedEarly finalEpoch bestCheckpoint { id } } } }"""


def main() -> int:
    """Measure, print, and judge."""
    with running_server() as server:
        token, job_id = asyncio.run(_prepare(server.settings))
        return asyncio.run(_measure(server, token, job_id))


async def _prepare(settings: Settings) -> tuple[str, str]:
    """A user and a job, written to the server's database."""
    async with open_service(settings) as service:
        viewer = await make_viewer(email="bench@example.org")
        job = await make_job(viewer, service)
        user = await job.owner
        return service.tokens.issue(user).access_token, ids.encode(ids.Kind.JOB, job.id)


async def _measure(server: Server, token: str, job_id: str) -> int:
    connection = await Connection.open(server.port, token)
    typename = {"query": "{ __typename }"}
    status = {"query": STATUS, "variables": {"id": job_id}}
    answers = [await connection.post("/raw", {}), await connection.post("/graphql", typename)]
    assert answers == [{"data": {"__typename": "Query"}}] * 2
    assert (await connection.post("/graphql", status))["data"]["getTrainingStatus"]["id"] == job_id
    raw: list[float] = []
    graphql: list[float] = []
    for _ in range(ROUNDS):
        raw.append(await _cpu_per_request(connection, "/raw", {}))
        graphql.append(await _cpu_per_request(connection, "/graphql", typename))
    ratio = statistics.median(graphql) / statistics.median(raw)
    milliseconds = await _milliseconds(connection, status)
    median = statistics.median(milliseconds)
    print(describe_machine())
    print(f"raw JSON route          {statistics.median(raw) * 1e6:7.1f} µs CPU a request")
    print(f"{{ __typename }}          {statistics.median(graphql) * 1e6:7.1f} µs CPU a request")
    print(
        f"ratio                   {ratio:7.2f}   (limit {MAX_RATIO}), {ROUNDS * REQUESTS} requests each"
    )
    print(
        f"status query, SQLite    {median:7.2f} ms p50 (limit {MAX_STATUS_MS}), "
        f"p99 {sorted(milliseconds)[int(len(milliseconds) * 0.99)]:.2f}, {len(milliseconds)} requests"
    )
    return 0 if ratio <= MAX_RATIO and median < MAX_STATUS_MS else 1


async def _cpu_per_request(connection: "Connection", path: str, body: Any) -> float:
    before = (await connection.get("/cpu"))["cpu_seconds"]
    for _ in range(REQUESTS):
        await connection.post(path, body)
    after = (await connection.get("/cpu"))["cpu_seconds"]
    return float((after - before) / REQUESTS)


async def _milliseconds(connection: "Connection", body: Any) -> list[float]:
    taken = []
    for _ in range(1000):
        started = time.perf_counter()
        await connection.post("/graphql", body)
        taken.append((time.perf_counter() - started) * 1000)
    return taken


class Connection:
    """One kept-alive HTTP connection, with next to no client in the measurement."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._head = f"host: bench\r\nauthorization: Bearer {token}\r\n"

    @classmethod
    async def open(cls, port: int, token: str) -> "Connection":
        """Connect to the loopback interface."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), token)

    async def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return await self._exchange(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def post(self, path: str, body: Any) -> Any:
        """What `path` answers to a JSON body."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\n{self._head}content-type: application/json\r\n"
        return await self._exchange(
            f"{head}content-length: {len(content)}\r\n\r\n".encode() + content
        )

    async def _exchange(self, request: bytes) -> Any:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return json.loads(await self._reader.readexactly(length))


if __name__ == "__main__":
    sys.exit(main())
