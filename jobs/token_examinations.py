"""The examination of the tokens that a dataset's records become for a model: asked for by the
dataset's owner, and told of to whoever is about to train on it."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.errors import LeaseLost
from jobs.examinations import as_finding
from jobs.models import BaseModel, Dataset, TokenExamination
from jobs.models.base import Leased
from jobs.settings import Settings
from jobs.status import TaskStatus
from training.config import OnTooLong, TrainingConfig
from training.data.doctor.checks import Code
from training.data.doctor.report import DataFinding, TokenReport
from training.data.doctor.spec import TokenExaminationSpec
from training.events import Failure
from training.findings import PATHS, Finding, Severity
from training.templates.checks import OF_THE_TEMPLATE

__all__ = ["ExamineTokens", "Known", "known"]


class ExamineTokens:
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

    async def settle(self, row_id: UUID, status: TaskStatus, settings: Settings) -> None:
        """Nothing else."""

    def crash(self, exit_code: int) -> Failure | None:
        """No more than of any other work."""
        del exit_code
        return None


@dataclass(frozen=True)
class Known:
    """What is known of a dataset's tokens, as a run by some config would have them."""

    asked: TokenExamination | None
    """The examination of just that, whether or not it has ended."""
    ready: TokenExamination | None
    """The one that says most, of those that are READY: the same, or one of another length."""

    @property
    def failure(self) -> Failure | None:
        """Why it came to nothing."""
        error = self.asked and self.asked.error
        return Failure.model_validate(error) if error else None

    def findings(
        self, config: TrainingConfig, path: tuple[str, ...], *, counted: bool
    ) -> Iterator[Finding]:
        """What it says of the run, whose input names the dataset at `path`. Where the run's records are
        `counted`, that tells of what is lost of them."""
        failure = self.failure
        if failure is not None and failure.code in OF_THE_TEMPLATE and not counted:
            yield Finding(
                severity=Severity.ERROR,
                code=failure.code,
                path=PATHS["chat_template"],
                message=failure.message,
                remedy=failure.remedy or "Choose another template.",
            )
        if self.ready is None:
            return
        same_length = self.ready.max_sequence_length == config.max_sequence_length
        for each in TokenReport.model_validate(self.ready.report).findings:
            if _concerns(each, config, same_length=same_length, counted=counted):
                yield as_finding(each, path)


_OF_THE_LENGTH: Final = (Code.TOO_LONG, Code.ANSWER_CUT, Code.NO_TRAINED_TOKEN_LEFT)
_COUNTED: Final = (Code.TOO_LONG, Code.NO_TRAINED_TOKEN, Code.NO_TRAINED_TOKEN_LEFT)


def _concerns(
    found: DataFinding, config: TrainingConfig, *, same_length: bool, counted: bool
) -> bool:
    if found.code in _OF_THE_LENGTH and not same_length:
        return False
    if found.code is Code.ANSWER_CUT:
        return config.on_too_long is OnTooLong.TRUNCATE
    return not (counted and found.code in _COUNTED)


async def known(dataset_id: UUID, model_id: UUID, config: TrainingConfig) -> Known:
    """What examinations say of a dataset's records, rendered for a model as this config does."""
    rows = await TokenExamination.filter(
        dataset_id=dataset_id,
        model_id=model_id,
        chat_template=config.chat_template,
        train_on=config.train_on,
    ).order_by("-created_at")
    asked = _of_length(rows, config.max_sequence_length)
    ready = [row for row in rows if row.status is TaskStatus.READY]
    same = _of_length(ready, config.max_sequence_length)
    return Known(asked=asked, ready=same or next(iter(ready), None))


def _of_length(rows: Iterable[TokenExamination], length: int) -> TokenExamination | None:
    return next((row for row in rows if row.max_sequence_length == length), None)
