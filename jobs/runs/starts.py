"""What a run starts from, where that is not its base model: a version, or a run's checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.errors import Conflict, NotFound
from jobs.models import Checkpoint, ModelVersion, TrainingJob
from jobs.registry import versions
from jobs.status import ENDED
from training.compatibility import misfits
from training.config import Start, StartKind, TrainingConfig
from training.findings import Finding, Severity

__all__ = ["Origin", "StartRequest", "find", "findings", "hold", "spec"]


@dataclass(frozen=True)
class StartRequest:
    """What somebody wants a run to start from, by its key."""

    kind: StartKind
    key: UUID


@dataclass(frozen=True)
class Origin:
    """Trained weights, and the job that made them."""

    kind: StartKind
    key: UUID
    name: str
    job: TrainingJob
    lasting: bool
    """Whether its files stay: those of a job that goes on may be deleted by its retention."""
    refused: Conflict | None = None
    """Why nothing can start there, where it is a version that is not trained."""

    @property
    def config(self) -> TrainingConfig:
        """What it was trained with."""
        return TrainingConfig.model_validate(self.job.config)

    def columns(self) -> dict[str, Any]:
        """What the started job's row remembers."""
        key = "version_id" if self.kind is StartKind.VERSION else "checkpoint_id"
        return {"start_job_id": self.job.id, f"start_{key}": self.key, "start_name": self.name}


async def find(viewer: Viewer, wanted: StartRequest) -> Origin:
    """The version or checkpoint, if the viewer may see it; NotFound otherwise."""
    if wanted.kind is StartKind.VERSION:
        version = await versions.get(viewer, wanted.key)
        job = await TrainingJob.get(id=version.job_id)
        refused = versions.refusal(version)
        return Origin(wanted.kind, version.id, version.version, job, lasting=True, refused=refused)
    checkpoint = await Checkpoint.get_or_none(id=wanted.key)
    rows = TrainingJob.filter(id=checkpoint.job_id) if checkpoint else None
    made_by = await visible(viewer, rows).first() if rows else None
    if checkpoint is None or made_by is None:
        raise NotFound("checkpoint", wanted.key)
    lasting = checkpoint.requested or made_by.status in ENDED
    return Origin(wanted.kind, checkpoint.id, checkpoint.name, made_by, lasting=lasting)


def findings(origin: Origin, model_id: UUID, config: TrainingConfig) -> Iterator[Finding]:
    """Why a run of this model with this config cannot start from there."""
    if origin.job.model_id != model_id:
        yield _error(
            "START_INCOMPATIBLE",
            f"{origin.name} was trained from another model than modelId names.",
            "Name the model that it was trained from.",
        )
    if origin.refused is not None:
        yield _error("START_NOT_TRAINED", origin.refused.message, origin.refused.remedy or "")
    if not origin.lasting:
        yield _error(
            "START_NOT_LASTING",
            f"The job that saved {origin.name} is {origin.job.status}, and may delete it.",
            "Ask that job for a checkpoint with saveCheckpoint, which is kept, or let it end.",
        )
    yield from misfits(config, origin.config, origin.name)


async def hold(origin: Origin) -> None:
    """See, inside a submission's transaction, that nobody deletes the start at the same time.

    Whoever comes second waits for the first: a deletion then finds the submitted job, a submission
    no version or checkpoint. NotFound.
    """
    is_version = origin.kind is StartKind.VERSION
    rows = (ModelVersion if is_version else Checkpoint).filter(id=origin.key)
    if not await rows.update(job_id=origin.job.id):
        raise NotFound("model version" if is_version else "checkpoint", origin.key)


async def spec(job: TrainingJob, artifacts: Artifacts) -> Start | None:
    """What a job's child is told of its start."""
    if job.start_job_id is None or job.start_name is None:
        return None
    if job.start_version_id is not None:
        version = await ModelVersion.get(id=job.start_version_id)
        folder = versions.folder(version, artifacts)
        return Start(kind=StartKind.VERSION, name=job.start_name, path=str(folder))
    path = artifacts.checkpoints(job.start_job_id) / job.start_name
    return Start(kind=StartKind.CHECKPOINT, name=job.start_name, path=str(path))


def _error(code: str, message: str, remedy: str) -> Finding:
    return Finding(
        severity=Severity.ERROR, code=code, path=("from",), message=message, remedy=remedy
    )
