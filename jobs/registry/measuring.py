"""How a version is measured: what the child of an evaluation is told, and when there is none."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.errors import LeaseLost
from jobs.models import BaseModel, Dataset, Evaluation, ModelVersion, TrainingJob
from jobs.models.base import Leased
from jobs.registry import versions
from jobs.task import Task
from training.config import JobSpec, Start, StartKind, TrainingConfig
from training.evaluation.spec import EvaluationOptions, EvaluationResult, EvaluationSpec

__all__ = ["EvaluateVersion"]


class EvaluateVersion(Task):
    """Measure a version on test records, and its base beside it."""

    table: ClassVar[type[Leased]] = Evaluation
    tells_progress: ClassVar[bool] = True

    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """A folder by the evaluation's id."""
        return artifacts.evaluation(row_id)

    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """The evaluation, told by `evaluation.json`."""
        evaluation = await Evaluation.get_or_none(id=row_id)
        key = None if evaluation is None else evaluation.dataset_id
        dataset = None if key is None else await Dataset.get_or_none(id=key)
        if evaluation is None or dataset is None or dataset.data_type is None:
            raise LeaseLost(f"Evaluation {row_id} was deleted, or its dataset.")
        version = await ModelVersion.get(id=evaluation.version_id)
        model = await BaseModel.get(id=version.model_id)
        job = await TrainingJob.get(id=version.job_id)
        trained_on = job.dataset_id and str(artifacts.records(job.dataset_id))
        spec = EvaluationSpec(
            run=JobSpec(
                config=TrainingConfig.model_validate(version.config),
                model_path=model.source,
                dataset_path=str(artifacts.records(dataset.id)),
                data_type=dataset.data_type,
                dataset_sha256=dataset.sha256,
                start=Start(
                    kind=StartKind.VERSION,
                    name=version.version,
                    path=str(versions.folder(version, artifacts)),
                ),
            ),
            options=EvaluationOptions.model_validate(evaluation.options),
            trained_on=trained_on or None,
        )
        content = spec.model_dump_json().encode()
        await asyncio.to_thread(artifacts.write, folder / "evaluation.json", content)
        return "training.evaluation.run", str(folder)

    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """What was measured."""
        found = EvaluationResult.model_validate(result)
        return {"result": found.model_dump(mode="json"), "progress": 100.0}
