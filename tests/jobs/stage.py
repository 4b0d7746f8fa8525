"""What tests of the jobs floor share: scripts for the child process, and looks at what came of them."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from jobs.access import Role, Viewer
from jobs.execution.supervisor import Seat, supervise
from jobs.models import JobEvent, TrainingJob, User
from jobs.service import Service
from jobs.settings import Settings
from jobs.status import JobStatus
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Event,
    Failure,
    Finished,
    Outcome,
    Phase,
    PhaseStarted,
    Progress,
    TrainingResult,
    serialise,
)

CHILD = Path(__file__).with_name("scripted_child.py")

Step = list[Any]

RESULT = TrainingResult(
    adapter=True,
    best_epoch=2,
    final_epoch=2,
    stopped_early=False,
    training_loss=0.5,
    training_accuracy=0.8,
    validation_loss=0.6,
    validation_accuracy=0.75,
    training_records=18,
    trained_tokens=180,
    trainable_parameters=1000,
    duration_seconds=1.5,
    size_bytes=4096,
    libraries={"torch": "2.13.0"},
)
COMPLETED = Finished(outcome=Outcome.COMPLETED, result=RESULT)
CANCELLED = Finished(outcome=Outcome.CANCELLED)
FAILED = Finished(
    outcome=Outcome.FAILED, error=Failure(code="OUT_OF_MEMORY", message="9 GiB", remedy="less")
)


async def play_scripts_async(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """Start the scripted child where `python -P -m MODULE …` was asked for."""
    python, _safe_path, _m, *rest = command
    return await _create_subprocess_exec(python, "-S", str(CHILD), *rest, **options)


_create_subprocess_exec = asyncio.create_subprocess_exec


async def start_python(
    program: str, *arguments: str, **environment: str
) -> asyncio.subprocess.Process:
    """A real process of ours that runs `program`, in this checkout."""
    return await _create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments),
        cwd=CHILD.parents[2],
        env=os.environ | environment,
    )


def say(*events: Event) -> Step:
    return ["say", *(serialise(event).decode().rstrip("\n") for event in events)]


def phase(name: str) -> PhaseStarted:
    return PhaseStarted(phase=Phase(name))


def progress(step: int, total: int = 10) -> Progress:
    return Progress(
        progress=100 * step / total,
        epoch=1,
        total_epochs=2,
        step=step,
        total_steps=total,
        loss=2.0 - step / total,
        accuracy=0.5,
        learning_rate=1e-4,
        gradient_norm=1.0,
        tokens_per_second=50.0,
        estimated_time_remaining=float(total - step),
    )


def epoch(number: int, loss: float = 1.0) -> EpochCompleted:
    return EpochCompleted(
        epoch=number,
        training_loss=loss,
        training_accuracy=0.5,
        validation_loss=loss + 0.1,
        validation_accuracy=0.4,
        duration_seconds=3.0,
    )


def checkpoint(
    number: int,
    *,
    best: bool = True,
    removed: Sequence[str] = (),
    size: int = 100,
    score: float | None = 1.0,
) -> CheckpointSaved:
    return CheckpointSaved(
        name=f"epoch-{number}",
        epoch=number,
        step=number * 5,
        validation_loss=1.0,
        validation_accuracy=0.5,
        size_bytes=size,
        best=best,
        removed=tuple(removed),
        score=score,
        requested=score is None,
    )


WHOLE_RUN: list[Step] = [
    say(phase("PREPARING"), phase("TRAINING"), progress(5), epoch(1), checkpoint(1)),
    say(progress(10), epoch(2, 0.5), checkpoint(2), phase("VALIDATING"), COMPLETED),
    ["exit", 0],
]


def write_script(folder: Path, *scripts: list[Step]) -> None:
    """What the child does at its first start, its second and so on, the last one for ever."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.json").write_text(json.dumps(scripts))


def script_job(service: Service, job_id: UUID, *scripts: list[Step]) -> Path:
    folder = service.artifacts.job(job_id)
    write_script(folder, *scripts)
    return folder


async def attempt(service: Service, job_id: UUID, worker_id: str = "worker") -> None:
    """One attempt at a job, by a worker of this process."""
    await supervise(
        job_id,
        seat=Seat(worker_id),
        settings=service.settings,
        artifacts=service.artifacts,
        queue=service.queue,
    )


def starts(folder: Path) -> list[int]:
    """The pid of every child started for this folder."""
    file = folder / "starts"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def eventually(
    is_so: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 10.0
) -> None:
    """Wait until something is so; fails the test where it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = is_so()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        assert time.monotonic() < deadline, "it never came to be so"
        await asyncio.sleep(0.03)


async def has_status(job_id: UUID, status: JobStatus) -> bool:
    return (await TrainingJob.get(id=job_id)).status is status


async def history(job_id: UUID) -> list[JobEvent]:
    """A job's events, after a look that their numbers have no gap and agree with its row."""
    events = await JobEvent.filter(job_id=job_id).order_by("seq")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (await TrainingJob.get(id=job_id)).last_seq == len(events)
    return events


async def kinds(job_id: UUID) -> list[str]:
    """The job's history in short: kinds of event, and states for StatusChanged."""
    return [
        event.data["to"] if event.kind == "StatusChanged" else event.kind
        for event in await history(job_id)
    ]


async def make_viewer(role: Role = Role.TRAINER) -> Viewer:
    """An account that nobody can log in to, made without the tenth of a second of a good hash."""
    email = f"{uuid4().hex}@example.org"
    user = await User.create(email=email, password_hash="none", role=role)
    return Viewer(user.id, user.email, role)


def as_environment(settings: Settings) -> dict[str, str]:
    """What a process of the service is started with to see the same as this one."""
    return {
        "TUNERY_HOME": str(settings.home),
        "TUNERY_SECRET": settings.secret.get_secret_value(),
        "TUNERY_REDIS_URL": settings.redis_url,
        "TUNERY_DATABASE_URL": settings.database_url,
    }


async def hammer(service: Service, jobs: Sequence[TrainingJob], *, processes: int) -> None:
    """Let processes claim and release the jobs 300 times in all; each claim must be one's only."""
    rounds = 300 // len(jobs)
    environment = os.environ | as_environment(service.settings)
    workers = [
        await _create_subprocess_exec(
            *(sys.executable, "-m", "tests.jobs.hammer", f"worker-{number}", str(rounds)),
            *(str(job.id) for job in jobs),
            cwd=CHILD.parents[2],
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for number in range(processes)
    ]
    outputs = [await worker.communicate() for worker in workers]
    assert [
        (worker.returncode, error) for worker, (_, error) in zip(workers, outputs, strict=True)
    ] == [(0, b"")] * processes
    claims = [json.loads(output) for output, _ in outputs]
    assert all(sum(mine.values()) > 0 for mine in claims)
    for job in jobs:
        assert sum(mine.get(str(job.id), 0) for mine in claims) == rounds
        assert (await TrainingJob.get(id=job.id)).attempt == rounds
        # submitted; then claimed, training, queued each round; the last is claimed and failed
        assert len(await history(job.id)) == 1 + 3 * (rounds - 1) + 2
