"""The kinds of work that a child process answers once: exports and model checks.

The ingest of a file is in `ingest`, the examinations of a dataset in `examinations` and
`token_examinations`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.models import BaseModel, Export, ModelVersion
from jobs.models.base import Leased
from jobs.registry import versions
from jobs.task import Task
from training.config import TrainingConfig
from training.events import TrainingResult
from training.export.spec import SHARD_BYTES, ExportSpec, MergeBase

__all__ = ["CheckModel", "ExportVersion"]


class CheckModel(Task):
    """See that a registered model loads, and what it is."""

    table: ClassVar[type[Leased]] = BaseModel

    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """A folder by the model's id."""
        return artifacts.model_check(row_id)

    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """The inspection of the model's source."""
        del artifacts
        model = await BaseModel.get(id=row_id)
        return "training.models.inspection", model.source, str(folder / "result.json")

    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The facts found."""
        return {"facts": dict(result)}


class ExportVersion(Task):
    """Write a version in a file format and prove that the file is the trained model."""

    table: ClassVar[type[Leased]] = Export
    tells_progress: ClassVar[bool] = True

    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """A folder by the export's id."""
        return artifacts.export(row_id)

    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """The exporter, told by `export.json`."""
        export = await Export.get(id=row_id)
        version = await ModelVersion.get(id=export.version_id)
        model = await BaseModel.get(id=version.model_id)
        quantised = TrainingConfig.model_validate(version.config).quantised
        merged_into_original = export.merge_base is MergeBase.ORIGINAL
        spec = ExportSpec(
            version_path=str(versions.folder(version, artifacts)),
            model_path=model.source,
            adapter=TrainingResult.model_validate(version.result).adapter,
            quantised=quantised and not merged_into_original,
            merged_into_original=merged_into_original,
            format=export.format,
            adapter_only=export.adapter_only,
            weight_type=export.weight_type,
            shard_bytes=export.shard_bytes or SHARD_BYTES,
            model_name=f"{model.name} {version.version}",
            base_name=model.name,
            job_path=str(artifacts.job(version.job_id)),
        )
        content = spec.model_dump_json().encode()
        await asyncio.to_thread(artifacts.write, folder / "export.json", content)
        return "training.export.run", str(folder)

    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Sizes, checksums and the parity figures."""
        return {"result": dict(result), "progress": 100.0}
