"""How soon an event reaches those who follow a job: one subscriber, and a thousand.

`python -m benchmarks.subscriptions` prints the figures and exits 1 if a limit is missed. The time
runs from just before the event is announced, its row already written, until the client has it.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from uuid import UUID

import httpx
from tortoise.transactions import in_transaction
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.machine import describe_machine
from benchmarks.server import Server, resident_bytes, running_server
from jobs.runs.history import Entry, append
from jobs.service import Service, open_service
from schema import ids
from tests.factories import make_job, make_viewer

MAX_MS: Final = 5.0
EVENTS_FOR_ONE: Final = 300
SUBSCRIBERS: Final = 1000
EVENTS_FOR_ALL: Final = 5

EVENTS = """subscription Events($id: ID!) { trainingEvents(jobId: $id, afterSeq: 1) {
  seq ... on ProgressReported { progress epoch step loss tokensPerSecond } } }"""


def main() -> int:
    """Measure, print, and judge."""
    with running_server() as server:
        return asyncio.run(_measure(server))


async def _measure(server: Server) -> int:
    async with open_service(server.settings) as service:
        viewer = await make_viewer(email="bench@example.org")
        job = await make_job(viewer, service)
        token = service.tokens.issue(await job.owner).access_token
        print(describe_machine())
        alone = await _one(service, server, token, job.id)
        median = statistics.median(alone)
        print(
            f"one subscriber       {median:7.2f} ms p50 (limit {MAX_MS}), "
            f"p99 {_percentile(alone, 99):.2f}, {len(alone)} of {EVENTS_FOR_ONE} events"
        )
        crowd = await make_job(viewer, service)
        delivered = await _many(service, server, token, crowd.id)
        return 0 if median < MAX_MS and delivered else 1


async def _one(service: Service, server: Server, token: str, job_id: UUID) -> list[float]:
    taken = []
    async with _following(server, token, job_id) as socket:
        await asyncio.sleep(0.3)
        for _ in range(EVENTS_FOR_ONE):
            seq = await _write(job_id)
            started = time.perf_counter()
            await service.queue.publish(job_id, seq)
            assert await _seq(socket) == seq
            taken.append((time.perf_counter() - started) * 1000)
    return taken


async def _many(service: Service, server: Server, token: str, job_id: UUID) -> bool:
    before = await _cpu(server)
    started = time.perf_counter()
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(_following(server, token, job_id))
            for _ in range(SUBSCRIBERS)
        ]
        connected = time.perf_counter() - started
        await asyncio.sleep(1)
        idle = await _cpu(server)
        resident = resident_bytes(server.pid)
        taken: list[float] = []
        for _ in range(EVENTS_FOR_ALL):
            seq = await _write(job_id)
            taken += await _announce(service, job_id, seq, sockets)
        spent = await _cpu(server) - idle
    expected = SUBSCRIBERS * EVENTS_FOR_ALL
    print(
        f"{SUBSCRIBERS} subscribers     {statistics.median(taken):7.1f} ms p50, "
        f"{_percentile(taken, 99):.1f} p99, {max(taken):.1f} last; {len(taken)} of {expected} events, "
        f"{spent / expected * 1e6:.0f} µs CPU an event and subscriber"
    )
    print(
        f"                     {connected:.1f} s and {idle - before:.1f} s CPU to connect, "
        f"{resident / 2**20:.0f} MiB resident"
    )
    return len(taken) == expected


async def _announce(
    service: Service, job_id: UUID, seq: int, sockets: list[ClientConnection]
) -> list[float]:
    started = time.perf_counter()

    async def wait(socket: ClientConnection) -> float:
        assert await _seq(socket) == seq
        return (time.perf_counter() - started) * 1000

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waits = [group.create_task(wait(socket)) for socket in sockets]
        await service.queue.publish(job_id, seq)
    return [task.result() for task in waits]


async def _write(job_id: UUID) -> int:
    figures = {
        "progress": 10.0,
        "epoch": 1,
        "total_epochs": 3,
        "step": 10,
        "total_steps": 100,
        "loss": 1.5,
        "accuracy": 0.5,
        "learning_rate": 2e-4,
        "gradient_norm": 1.0,
        "tokens_per_second": 900.0,
        "estimated_time_remaining": 60.0,
    }
    async with in_transaction():
        return await append(job_id, [Entry("Progress", figures)])


@asynccontextmanager
async def _following(server: Server, token: str, job_id: UUID) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/graphql"
    protocols = [Subprotocol("graphql-transport-ws")]
    async with connect(url, subprotocols=protocols, open_timeout=60) as socket:
        await _send(socket, type="connection_init", payload={"token": token})
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        variables = {"id": ids.encode(ids.Kind.JOB, job_id)}
        payload = {"query": EVENTS, "variables": variables}
        await _send(socket, id="1", type="subscribe", payload=payload)
        yield socket


async def _send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def _seq(socket: ClientConnection) -> int:
    message = json.loads(await socket.recv())
    return int(message["payload"]["data"]["trainingEvents"]["seq"])


async def _cpu(server: Server) -> float:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/cpu", timeout=60)
        return float(answer.json()["cpu_seconds"])


def _percentile(taken: list[float], percent: int) -> float:
    return sorted(taken)[len(taken) * percent // 100 - 1]


if __name__ == "__main__":
    sys.exit(main())
