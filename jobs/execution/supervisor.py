"""One attempt at a training job: claim it, start the child, watch it, and see it end."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Final
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.data import held_out
from jobs.database import AWAY
from jobs.errors import Conflict, LeaseLost
from jobs.execution.claims import beat, claim, complete, end, pass_on_save, pause, release
from jobs.execution.intake import EventLog, take
from jobs.models import BaseModel, Dataset, TrainingJob
from jobs.processes.child import Child
from jobs.processes.deaths import Death, Verdict, unsaved
from jobs.processes.leaving import until_left
from jobs.queue import Queue, Work
from jobs.runs import starts
from jobs.runs.history import Lease
from jobs.settings import Settings
from jobs.status import JobStatus
from training.config import JobSpec, TrainingConfig
from training.devices.process import kernel_kills
from training.estimates import MemoryEstimate
from training.events import Outcome
from training.locking import EXIT_BUSY
from training.progress.pulse import PulseReader
from training.requests import ask_for_checkpoint

__all__ = ["Attempt", "Seat", "supervise"]

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.1
BEAT_SECONDS = 1.0


class _Stop(Enum):
    """Why a child was asked to leave."""

    CANCELLED = auto()
    PAUSED = auto()
    WORKER_LEAVES = auto()
    SILENT = auto()


_WISHES: Final = {JobStatus.CANCELLING: _Stop.CANCELLED, JobStatus.PAUSING: _Stop.PAUSED}
"""What a worker does about a state that a job's user has moved it to."""


@dataclass(frozen=True)
class _Office:
    """What an attempt needs of the worker it runs in."""

    worker_id: str
    settings: Settings
    artifacts: Artifacts
    queue: Queue
    cuda_devices: tuple[str, ...]


@dataclass(frozen=True)
class Seat:
    """A worker's place for one job: whose it is, and the CUDA devices that belong to it."""

    worker_id: str
    cuda_devices: tuple[str, ...] = ()


async def supervise(
    job_id: UUID, *, seat: Seat, settings: Settings, artifacts: Artifacts, queue: Queue
) -> None:
    """Run one attempt at a job, if it is still there to be claimed.

    Cancelling this coroutine asks the child to save a checkpoint and puts the job back into the
    queue. Losing the lease ends the child and changes nothing.
    """
    office = _Office(seat.worker_id, settings, artifacts, queue, seat.cuda_devices)
    await until_left(partial(_attempt, job_id, office))


async def _attempt(job_id: UUID, office: _Office, leaving: asyncio.Event) -> None:
    job = await claim(job_id, office.worker_id, office.settings.lease_seconds)
    if job is None:
        return
    await office.queue.publish(job.id, job.last_seq)
    try:
        await Attempt(job, office, leaving).run()
    except LeaseLost as lost:
        logger.warning("job %s: %s", job_id, lost)
    try:
        job = await TrainingJob.get(id=job_id)
    except AWAY as error:  # all is written down; who listens or waits for work will look
        logger.warning("job %s: nobody is told at once how its attempt ended: %s", job_id, error)
        return
    await office.queue.publish(job_id, job.last_seq)
    if job.status is JobStatus.QUEUED:
        await office.queue.enqueue(Work.TRAIN, job_id, job.attempt + 1)


class Attempt:
    """The time from a claim to the child's end; the child never outlives it."""

    def __init__(self, job: TrainingJob, office: _Office, leaving: asyncio.Event) -> None:
        self._job = job
        self._office = office
        self._leaving = leaving
        self._lease = Lease(office.worker_id, job.attempt)
        self._folder = office.artifacts.job(job.id)
        self._log = EventLog(self._folder / "events.jsonl", job.log_offset)
        self._pulse = PulseReader(self._folder)
        self._stop: _Stop | None = None
        self._last_event = self._last_beat = time.monotonic()
        self._kernel_kills = kernel_kills()
        self._verdict: Verdict | None = None

    async def run(self) -> None:
        """Work until the job has ended or is back in the queue."""
        await self._drain(live=False)  # what the child of a killed worker still had to say
        if self._is_over() or self._leaving.is_set():
            self._stop = _Stop.WORKER_LEAVES
            await self._settle(exit_code=0, tail="")
            return
        await asyncio.to_thread(self._write_spec, await self._spec())
        child = await Child.start(
            "training.run",
            str(self._folder),
            log=self._folder / "train.log",
            threads=self._office.settings.threads,
            cuda_devices=self._office.cuda_devices,
        )
        logger.info("job %s: attempt %s runs as %s", self._job.id, self._job.attempt, child.pid)
        try:
            await self._watch(child)
        finally:
            child.kill()
        await self._settle(await child.wait(), child.log_tail())

    async def _watch(self, child: Child) -> None:
        """Take events over and keep the lease until the child has left."""
        gone = asyncio.ensure_future(child.wait())
        killer: asyncio.Task[int] | None = None
        try:
            while not gone.done():
                await asyncio.wait({gone}, timeout=TICK_SECONDS)
                await self._tick()
                if self._stop is None and self._leaving.is_set():
                    self._stop = _Stop.WORKER_LEAVES
                if self._stop is not None and killer is None:
                    grace = self._office.settings.stop_grace_seconds
                    killer = asyncio.create_task(child.stop(grace))
        finally:
            gone.cancel()
            if killer is not None:
                killer.cancel()

    async def _tick(self) -> None:
        """One round; a database that is away is waited for, the child works on meanwhile."""
        try:
            await self._take()
            if time.monotonic() - self._last_beat >= BEAT_SECONDS:
                await self._beat()
        except AWAY as error:
            logger.warning("job %s: the database is away: %s", self._job.id, error)
            await asyncio.sleep(BEAT_SECONDS)

    async def _take(self, *, live: bool = True) -> bool:
        seq = await take(self._job.id, self._lease, self._log, live=live)
        if seq is None:
            return False
        self._last_event = time.monotonic()
        await self._office.queue.publish(self._job.id, seq)
        return True

    async def _beat(self) -> None:
        settings = self._office.settings
        wanted = await beat(self._job.id, self._lease, settings.lease_seconds)
        self._last_beat = time.monotonic()
        if wanted.save_asked is not None:
            await asyncio.to_thread(ask_for_checkpoint, self._folder)
            await pass_on_save(self._job.id, self._lease, wanted.save_asked)
        if await asyncio.to_thread(self._pulse.has_moved):
            self._last_event = self._last_beat
        if wanted.status in _WISHES:
            self._stop = _WISHES[wanted.status]
        elif self._stop is None and self._last_beat - self._last_event > settings.silence_seconds:
            self._stop = _Stop.SILENT

    async def _drain(self, *, live: bool = True) -> None:
        while await self._take(live=live):
            pass

    def _is_over(self) -> bool:
        word = self._log.last_word
        return word is not None and word.outcome is not Outcome.CANCELLED

    async def _settle(self, exit_code: int, tail: str) -> None:
        """Conclude, and again while the database is away or its user cancels this very moment.

        Past the lease's time it is left to whoever takes the job next, who finds the child's last
        word in its file.
        """
        give_up = time.monotonic() + self._office.settings.lease_seconds
        while True:
            try:
                await self._conclude(exit_code, tail)
            except (*AWAY, Conflict) as error:
                if time.monotonic() > give_up:
                    raise
                logger.warning("job %s cannot be concluded yet: %s", self._job.id, error)
                await asyncio.sleep(TICK_SECONDS)
            else:
                return

    async def _conclude(self, exit_code: int, tail: str) -> None:
        """Decide what the child's end means, and write it down."""
        await self._drain()
        word = self._log.last_word
        if word and word.outcome is Outcome.COMPLETED and word.result:
            path = self._office.artifacts.relative(self._folder / "model")
            await complete(self._job, self._lease, word.result, path)
        elif word and word.outcome is Outcome.FAILED:
            reason = "the training failed"
            await end(self._job.id, self._lease, JobStatus.FAILED, reason=reason, error=word.error)
        elif (status := await self._status()) is JobStatus.CANCELLING:
            reason = "stopped as asked"
            await end(self._job.id, self._lease, JobStatus.CANCELLED, reason=reason)
        elif status is JobStatus.PAUSING:
            await self._paused(exit_code, tail)
        elif self._stop is _Stop.WORKER_LEAVES or exit_code == EXIT_BUSY:
            reason = "its worker leaves" if self._stop else "its former child has not left yet"
            await release(self._job.id, self._lease, reason=reason, crashed=False)
        else:
            await self._crashed(exit_code, tail)

    async def _status(self) -> JobStatus:
        """Where the job stands by now: its user may have asked for something meanwhile."""
        seen = await beat(self._job.id, self._lease, self._office.settings.lease_seconds)
        return seen.status

    async def _paused(self, exit_code: int, tail: str) -> None:
        """PAUSED, whether its child saved first or died; what it saved before is there."""
        saved = self._log.last_word is not None or exit_code in (0, EXIT_BUSY)
        warning = None if saved else unsaved(exit_code, tail)
        reason = "paused as asked"
        await pause(self._job.id, self._lease, reason=reason, warning=warning)

    async def _crashed(self, exit_code: int, tail: str) -> None:
        job = await TrainingJob.get(id=self._job.id)
        if self._verdict is None:  # once: it changes what the next attempt is bid
            self._verdict = await asyncio.to_thread(self._judge, exit_code, tail, job.estimate)
        failure, counts, is_final = self._verdict
        logger.warning("job %s: %s", job.id, failure.message)
        crashes = job.crashes + int(counts)
        if is_final or (counts and crashes >= self._office.settings.max_crashes):
            reason = "it lacks memory" if is_final else f"it crashed {crashes} times"
            await end(job.id, self._lease, JobStatus.FAILED, reason=reason, error=failure)
        else:
            reason = "its child process died"
            await release(job.id, self._lease, reason=reason, crashed=counts, warning=failure)

    def _judge(self, exit_code: int, tail: str, estimate: Mapping[str, object] | None) -> Verdict:
        before, after = self._kernel_kills, kernel_kills()
        death = Death(
            exit_code,
            tail,
            silent=self._stop is _Stop.SILENT,
            asked=self._stop is not None,
            kernel_kills=None if before is None or after is None else after - before,
        )
        memory = MemoryEstimate.model_validate(estimate["memory"]) if estimate else None
        return death.judged(self._folder, memory)

    async def _spec(self) -> JobSpec:
        artifacts = self._office.artifacts
        model = await BaseModel.get(id=self._job.model_id)
        dataset = await Dataset.get(id=self._job.dataset_id)
        return JobSpec(
            config=TrainingConfig.model_validate(self._job.config),
            model_path=model.source,
            dataset_path=str(artifacts.records(dataset.id)),
            data_type=dataset.data_type,
            dataset_sha256=dataset.sha256,
            validation_sha256=self._job.validation_sha256,
            start=await starts.spec(self._job, artifacts),
            **held_out.places(dataset.id, self._job.validation_dataset_id, artifacts),
        )

    def _write_spec(self, spec: JobSpec) -> None:
        self._office.artifacts.write(self._folder / "job.json", spec.model_dump_json().encode())
