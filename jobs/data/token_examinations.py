"""The examination of the tokens that a dataset's records become for a model."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.errors import LeaseLost
from jobs.models import BaseModel, Dataset, TokenExamination
from jobs.models.base import Leased
from jobs.task import Task
from training.data.doctor.report import TokenReport
from training.data.doctor.spec import TokenExaminationSpec

__all__ = ["ExamineTokens"]


class ExamineTokens(Task):
    """Render a dataset's records into its cache of tokens, and look at each row."""

    table: ClassVar[type[Leased]] = TokenExamination
    tells_progress: ClassVar[bool] = True

    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """A folder by the examination's id; the tokens go into the dataset's own."""
        return artifacts.token_examination(row_id)

    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """The doctor, told by `token_examination.json`."""
        row = await TokenExamination.get_or_none(id=row_id)
        dataset = None
        if row is not None:
            dataset = await Dataset.get_or_none(id=row.dataset_id, deleting=False)
        if row is None or dataset is None or dataset.data_type is None:
            raise LeaseLost(f"The dataset of token examination {row_id} was deleted.")
        model = await BaseModel.get(id=row.model_id)
        spec = TokenExaminationSpec(
            path=str(artifacts.records(dataset.id)),
            sha256=dataset.sha256 or "",
            data_type=dataset.data_type,
            model_path=model.source,
            chat_template=row.chat_template,
            train_on=row.train_on,
            max_sequence_length=row.max_sequence_length,
        )
        content = spec.model_dump_json().encode()
        await asyncio.to_thread(artifacts.write, folder / "token_examination.json", content)
        return "training.data.doctor.token_run", str(folder)

    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The report."""
        report = TokenReport.model_validate(result).model_dump(mode="json")
        return {"report": report, "progress": 100.0}
