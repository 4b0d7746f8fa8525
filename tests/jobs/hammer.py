"""Processes that all claim and give back the same jobs, as fast as they can.

Run as `python -m tests.jobs.hammer WORKER ROUNDS JOB…` with the service's own environment; prints
how often each job was claimed by this worker, as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from uuid import UUID

from jobs.database import connect
from jobs.execution.claims import claim, release
from jobs.models import TrainingJob
from jobs.runs.history import Lease, move
from jobs.settings import Settings
from jobs.status import JobStatus


async def main(worker: str, rounds: int, jobs: list[UUID]) -> None:
    """Claim, move and release jobs until each has been claimed `rounds` times by anybody."""
    mine: Counter[str] = Counter()
    async with connect(Settings()):
        waiting = set(jobs)
        while waiting:
            for job_id in jobs:
                job = await claim(job_id, worker, 30.0)
                if job is None:
                    continue
                lease = Lease(worker, job.attempt)
                mine[str(job_id)] += 1
                if job.attempt >= rounds:
                    await move(job_id, JobStatus.FAILED, lease=lease)
                    continue
                await move(job_id, JobStatus.TRAINING, lease=lease)
                await release(job_id, lease, reason="hammer", crashed=False)
            waiting = {job_id for job_id in waiting if not await _is_over(job_id)}
    sys.stdout.write(json.dumps(mine))


async def _is_over(job_id: UUID) -> bool:
    return (await TrainingJob.get(id=job_id)).status is JobStatus.FAILED


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), [UUID(job) for job in sys.argv[3:]]))
