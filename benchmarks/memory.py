"""What the engine around the training child holds in memory: the API and an idle worker.

`python -m benchmarks.memory` prints the figures and exits 1 if a limit is missed.
"""

import asyncio
import os
import subprocess
import sys
import time
from typing import Final

import httpx

from benchmarks.machine import describe_machine
from benchmarks.server import Server, resident_bytes, running_server
from jobs.runs import control
from jobs.service import open_service
from jobs.settings import Settings
from tests.factories import make_job, make_viewer

MAX_BYTES: Final = 100 * 10**6
REQUESTS: Final = 300
WORKER = (
    "import asyncio; from jobs.settings import Settings; from jobs.worker import run_worker; "
    "asyncio.run(run_worker(Settings()))"
)
JOBS = "{ listTrainingJobs { edges { node { id status model { name } dataset { name } } } } }"


def main() -> int:
    """Measure, print, and judge."""
    with running_server() as server:
        api = _api(server, asyncio.run(_token(server.settings)))
        worker = _worker(server.settings)
    print(describe_machine())
    print(
        f"API after {REQUESTS} requests   {api / 1e6:6.1f} MB resident (limit {MAX_BYTES / 1e6:.0f})"
    )
    print(f"idle worker              {worker / 1e6:6.1f} MB resident (limit {MAX_BYTES / 1e6:.0f})")
    return 0 if max(api, worker) < MAX_BYTES else 1


async def _token(settings: Settings) -> str:
    async with open_service(settings) as service:
        viewer = await make_viewer(email="bench@example.org")
        job = await make_job(viewer, service)
        await control.cancel(viewer, job.id, queue=service.queue)  # else the worker takes it
        return service.tokens.issue(await job.owner).access_token


def _api(server: Server, token: str) -> int:
    url = f"http://127.0.0.1:{server.port}/graphql"
    with httpx.Client(headers={"authorization": f"Bearer {token}"}) as client:
        for _ in range(REQUESTS):
            answer = client.post(url, json={"query": JOBS}).json()
            assert len(answer["data"]["listTrainingJobs"]["edges"]) == 1
    return resident_bytes(server.pid)


def _worker(settings: Settings) -> int:
    environment = os.environ | {
        "TUNERY_HOME": str(settings.home / "idle"),
        "TUNERY_DATABASE_URL": settings.database,
        "TUNERY_SECRET": settings.secret.get_secret_value(),
        "TUNERY_REDIS_URL": settings.redis_url,
    }
    process = subprocess.Popen([sys.executable, "-c", WORKER], env=environment)
    try:
        time.sleep(5)
        assert process.poll() is None, "the worker did not stay up"
        return resident_bytes(process.pid)
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    sys.exit(main())
