"""The examination of a dataset's records: queued with the dataset, done after it is READY.

It would cost an ingest as much time again, and needs numpy, which the service does without; so a dataset
can be used before there is a report of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.errors import LeaseLost
from jobs.models import Dataset, Examination
from jobs.models.base import Leased
from jobs.task import Task
from training.data.doctor.checks import Code
from training.data.doctor.report import DataFinding, Report
from training.data.doctor.spec import ExaminationSpec
from training.findings import Finding

__all__ = ["ExamineDataset", "as_finding", "findings", "request"]


async def request(dataset_id: UUID) -> None:
    """Have a dataset examined, within the transaction that makes it READY.

    Nobody is sent a hint: a worker with nothing else to examine looks every other second by itself.
    """
    _ = await Examination.create(id=dataset_id, dataset_id=dataset_id)


async def findings(dataset_id: UUID) -> tuple[Finding, ...]:
    """What was found in a dataset, for whoever is about to train on it; nothing before it was
    examined.

    Equal records are told by the checks of a run, which weigh how many they are.
    """
    examination = await Examination.get_or_none(id=dataset_id).only("id", "report")
    if examination is None or examination.report is None:
        return ()
    return tuple(
        as_finding(each, ("datasetId",))
        for each in Report.model_validate(examination.report).findings
        if each.code is not Code.DUPLICATE
    )


def as_finding(found: DataFinding, path: tuple[str, ...]) -> Finding:
    """What was found in a dataset, said of a run whose input names it at this place."""
    return Finding(
        severity=found.severity,
        code=found.code.value,
        path=path,
        message=f"{found.message} The first is on line {found.lines[0]}.",
        remedy=found.remedy,
    )


class ExamineDataset(Task):
    """Look at each record of a dataset, and at all of them together."""

    table: ClassVar[type[Leased]] = Examination
    tells_progress: ClassVar[bool] = True

    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """A folder by the dataset's id, apart from the dataset's own."""
        return artifacts.examination(row_id)

    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """The doctor, told by `examination.json`."""
        dataset = await Dataset.get_or_none(id=row_id, deleting=False)
        if dataset is None or dataset.data_type is None:
            raise LeaseLost(f"Dataset {row_id} was deleted.")
        spec = ExaminationSpec(path=str(artifacts.records(row_id)), data_type=dataset.data_type)
        content = spec.model_dump_json().encode()
        await asyncio.to_thread(artifacts.write, folder / "examination.json", content)
        return "training.data.doctor.run", str(folder)

    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The report."""
        return {"report": Report.model_validate(result).model_dump(mode="json"), "progress": 100.0}
