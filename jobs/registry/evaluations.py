"""Evaluations: asked for and looked at here, made by a child process."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from uuid import UUID

from jobs import audit
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.data import datasets
from jobs.database import transaction
from jobs.errors import Conflict, NotFound
from jobs.inputs import checked
from jobs.models import Evaluation
from jobs.queue import Queue, Work
from jobs.registry import versions
from jobs.status import TaskStatus
from training.evaluation.spec import (
    PREDICTIONS,
    EvaluationOptions,
    Prediction,
)

__all__ = ["get", "predictions", "request"]


async def request(
    viewer: Viewer,
    version_id: UUID,
    dataset_id: UUID,
    *,
    options: Mapping[str, object],
    queue: Queue,
) -> Evaluation:
    """Queue an evaluation of a version on a dataset, by the fields of `EvaluationOptions`.

    NotFound; Conflict where the version is not trained or the dataset not READY; InvalidInput for an
    option out of range.
    """
    version = await versions.trained(viewer, version_id)
    dataset = await datasets.get(viewer, dataset_id)
    for finding in datasets.unready_findings(dataset):
        raise Conflict(finding.message, finding.remedy)
    chosen = checked(EvaluationOptions, options, ("options",))
    async with transaction():
        await datasets.hold(dataset.id)
        evaluation = await Evaluation.create(
            version_id=version.id,
            dataset_id=dataset.id,
            dataset_name=dataset.name,
            dataset_sha256=dataset.sha256,
            options=chosen.model_dump(mode="json"),
            owner_id=viewer.user_id,
        )
        await audit.record(viewer, "evaluateModel", evaluation, evaluation.id)
    await queue.enqueue(Work.EVALUATE, evaluation.id, attempt=1)
    return evaluation


async def get(viewer: Viewer, evaluation_id: UUID) -> Evaluation:
    """An evaluation that the viewer may see; NotFound otherwise."""
    evaluation = await visible(viewer, Evaluation.filter(id=evaluation_id)).first()
    if evaluation is None:
        raise NotFound("evaluation", evaluation_id)
    return evaluation


async def predictions(
    evaluation: Evaluation, *, after: int, first: int, artifacts: Artifacts
) -> tuple[list[tuple[int, Prediction]], int]:
    """So many predictions of a READY evaluation behind the `after`th, numbered from 1, and how many
    there are; none before."""
    if evaluation.status is not TaskStatus.READY:
        return [], 0
    path = artifacts.evaluation(evaluation.id) / PREDICTIONS
    return await asyncio.to_thread(_read, path, after, first)


def _read(path: Path, after: int, first: int) -> tuple[list[tuple[int, Prediction]], int]:
    with path.open("rb") as file:
        lines = enumerate(file, 1)
        for _ in islice(lines, after):
            pass
        page = [(at, Prediction.model_validate_json(line)) for at, line in islice(lines, first)]
        rest = sum(1 for _ in lines)
    last = page[-1][0] if page else after
    return page, last + rest
