"""Rows that only workers write, as they write them."""

import hashlib
from typing import Any

from tortoise.transactions import in_transaction

from jobs.access import Viewer
from jobs.models import BaseModel, Checkpoint, Epoch, Export, ModelVersion, TrainingJob
from jobs.runs.history import Entry, append
from jobs.service import Service
from jobs.status import JobStatus, TaskStatus, VersionStatus
from tests.factories import make_job
from training.events import TrainingResult
from training.export.spec import ExportFile, ExportFormat, ExportResult, Parity, StoredType

CONTENT = b"0123456789" * 100

PROGRESS: dict[str, Any] = {
    "progress": 12.5,
    "epoch": 1,
    "total_epochs": 3,
    "step": 3,
    "total_steps": 24,
    "loss": 2.25,
    "accuracy": 0.5,
    "learning_rate": 0.0002,
    "gradient_norm": None,
    "tokens_per_second": 900.0,
    "estimated_time_remaining": 60.0,
}


async def happen(job: TrainingJob, kind: str, **data: Any) -> int:
    """Write one event of a job, as a worker does; its number."""
    async with in_transaction():
        return await append(job.id, [Entry(kind, data)])


async def make_completed_job(viewer: Viewer, service: Service) -> TrainingJob:
    """A job with an epoch, a checkpoint and a version, COMPLETED."""
    job = await make_job(viewer, service)
    await Epoch.create(
        job_id=job.id, epoch=1, training_loss=2.0, training_accuracy=0.5, duration_seconds=1.5
    )
    await Checkpoint.create(
        job_id=job.id, name="epoch-1", epoch=1, step=8, size_bytes=5_000_000_000, best=True
    )
    await BaseModel.filter(id=job.model_id).update(version_counter=1)
    await ModelVersion.create(
        model_id=job.model_id,
        job_id=job.id,
        version="v1.0.0",
        status=VersionStatus.READY,
        path=f"jobs/{job.id}/model",
        config=job.config,
        result=_RESULT.model_dump(mode="json"),
        samples=[{"prompt": "1+1?", "before": "no", "after": "2"}],
        owner_id=viewer.user_id,
    )
    await TrainingJob.filter(id=job.id).update(status=JobStatus.COMPLETED, progress=100.0)
    return await TrainingJob.get(id=job.id)


async def make_export(viewer: Viewer, service: Service, version: ModelVersion) -> Export:
    """A READY export of one file, which is there."""
    file = ExportFile(
        name="model.safetensors",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    result = ExportResult(
        size_bytes=len(CONTENT),
        compression_ratio=1.0,
        dtype="float32",
        sha256="1" * 64,
        files=(file,),
        parity=Parity(
            tokens_equal=True,
            kl_divergence=1e-9,
            top1_agreement=1.0,
            max_logit_difference=1e-5,
            stop_token_respected=True,
            template_equal=True,
            single_bos=True,
            positions=300,
            job_rows=8,
        ),
        weights=(StoredType(name="float32", tensors=2, parameters=5, size_bytes=20),),
    )
    export = await Export.create(
        version_id=version.id,
        format=ExportFormat.SAFETENSORS,
        status=TaskStatus.READY,
        progress=100.0,
        result=result.model_dump(mode="json"),
        owner_id=viewer.user_id,
    )
    service.artifacts.write(service.artifacts.export(export.id) / "files" / file.name, CONTENT)
    return export


_RESULT = TrainingResult(
    adapter=True,
    best_epoch=1,
    final_epoch=1,
    stopped_early=False,
    training_loss=2.0,
    training_accuracy=0.5,
    validation_loss=None,
    validation_accuracy=None,
    training_records=18,
    trained_tokens=5_000_000_000,
    trainable_parameters=1000,
    duration_seconds=1.5,
    size_bytes=4000,
    libraries={"torch": "2.13.0"},
)
