"""Runs that completed, as far as they tell how long the next one will take."""

from datetime import datetime
from itertools import pairwise
from typing import Final
from uuid import UUID

from jobs.access import Viewer, visible
from jobs.fleet.workers import host_of
from jobs.models import Epoch, JobEvent, TrainingJob
from jobs.runs.history import JOB_FINISHED, STATUS_CHANGED
from jobs.status import JobStatus
from training.config import TrainingConfig
from training.events import DataPrepared, Phase
from training.steps.schedule import steps_per_epoch
from training.timing.estimate import EarlierRun

__all__ = ["earlier_run"]

_LOOKED_AT: Final = 20
"""Of a model's newest completed jobs."""
_TOLD: Final = (STATUS_CHANGED, "DataPrepared", JOB_FINISHED)


async def earlier_run(
    viewer: Viewer, model_id: UUID, config: TrainingConfig, *, dataset_sha256: str, worker: str
) -> EarlierRun | None:
    """The viewer's newest run of this model by the same method on the machine of this worker, which
    was neither interrupted nor resumed; None where there is none."""
    done = TrainingJob.filter(model_id=model_id, status=JobStatus.COMPLETED, attempt=1)
    jobs = await visible(viewer, done).order_by("-finished_at").limit(_LOOKED_AT)
    for job in jobs:
        then = TrainingConfig.model_validate(job.config)
        ran_on = (job.usage or {}).get("worker")
        if ran_on and host_of(ran_on) == host_of(worker) and _is_like(then, config):
            cut = then.max_sequence_length == config.max_sequence_length
            return await _told(job, then, same_rows=cut and job.dataset_sha256 == dataset_sha256)
    return None


def _is_like(then: TrainingConfig, now: TrainingConfig) -> bool:
    """Whether both compute the same way, whatever the amount."""
    same = ("training_type", "devices", "sharding", "train_embeddings")
    return all(getattr(then, field) == getattr(now, field) for field in same) and (
        not now.adapts or then.dora == now.dora
    )


async def _told(job: TrainingJob, config: TrainingConfig, *, same_rows: bool) -> EarlierRun | None:
    rows = await JobEvent.filter(job_id=job.id, kind__in=_TOLD).order_by("seq")
    began: dict[str, datetime] = {}
    prepared: DataPrepared | None = None
    for row in rows:
        if row.kind == "DataPrepared":
            prepared = DataPrepared.model_validate(row.data)
        else:
            began[row.data["to"] if row.kind == STATUS_CHANGED else JOB_FINISHED] = row.at
    if prepared is None or not {*Phase, JOB_FINISHED} <= set(began):
        return None
    times = [began[each] for each in (*Phase, JOB_FINISHED)]
    seconds = [(end - start).total_seconds() for start, end in pairwise(times)]
    if not prepared.tokens or min(seconds) <= 0:
        return None
    epochs = await Epoch.filter(job_id=job.id).count()  # fewer than asked for after an early stop
    return EarlierRun(
        config=config,
        training_records=prepared.training_records,
        validation_records=prepared.validation_records,
        tokens=prepared.tokens,
        trained_tokens=prepared.trained_tokens,
        steps=min(
            prepared.total_steps, epochs * steps_per_epoch(prepared.training_records, config)
        ),
        same_rows=same_rows,
        preparing_seconds=seconds[0],
        training_seconds=seconds[1],
        validating_seconds=seconds[2],
    )
