"""What would become of a run's records, token for token, before it is started."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from jobs.artifacts import Artifacts
from jobs.data import leaks
from jobs.errors import Unavailable
from jobs.models import BaseModel, Dataset, TokenExamination
from jobs.processes.companion import Companion, Unanswered
from training.config import TrainingConfig
from training.events import Failure
from training.findings import PATHS, Finding, Severity
from training.preview.findings import leak_findings, row_findings
from training.preview.questions import (
    CountedRows,
    Kind,
    LeaksAnswer,
    PreviewedRecord,
    RecordsAsked,
    RowsAnswer,
    RowsQuestion,
)
from training.templates.checks import OF_THE_TEMPLATE

__all__ = ["NOT_ASKED", "STOPS_UNKNOWN", "TOO_MANY", "DryRun", "DryRuns"]

AnswerT = TypeVar("AnswerT", RowsAnswer, LeaksAnswer)

WARM_SECONDS: Final = 0.5
"""For an answer of a process that is there."""
STARTING_SECONDS: Final = 2.0
"""For one that has to be started first."""
_SHOWN: Final = 2


@dataclass(frozen=True)
class DryRun:
    """What is known of the rows of a run."""

    rows: CountedRows | None = None
    unknown: str | None = None
    """Why there are no rows; None where there are, or the run cannot start for other reasons."""
    shown: tuple[PreviewedRecord, ...] | None = None
    """The first records in tokens; None where these are not known."""
    near_leaks_unknown: str | None = None
    """Why nothing is said of records that are nearly equal on both sides; None where that is known,
    or there is one side, or the run cannot start for other reasons."""
    findings: tuple[Finding, ...] = ()
    """What the records say of the run."""
    examinations: tuple[TokenExamination, ...] = ()
    """Of the tokens of its datasets, those that were asked for."""

    def beside(self, others: Iterable[Finding]) -> tuple[Finding, ...]:
        """These findings and all others, of which none suggests an early stop any more where the
        records leave nothing that could decide on it."""
        sides = self.rows.sides if self.rows else None
        if sides is not None and sides.validation_records == 0:
            others = [_without_early_stop(each) for each in others]
        return (*others, *self.findings)


NOT_ASKED: Final = DryRun()
"""Of a run that cannot start for other reasons."""


@dataclass(frozen=True)
class DryRuns:
    """Asks a warm process for the rows of runs, and never waits long for it."""

    artifacts: Artifacts
    companion: Companion

    async def look(
        self,
        model: BaseModel | None,
        config: TrainingConfig,
        *,
        dataset: Dataset,
        held_out: Dataset | None,
    ) -> DryRun:
        """The rows of a run by this config, of this model or of one that is none of the registered.
        No failure to tell is an error."""
        assert dataset.data_type is not None  # noqa: S101 - it is READY
        question = RowsQuestion(
            model_path=model.source if model else "",
            data_type=dataset.data_type,
            data=self._asked(dataset),
            held_out=self._asked(held_out) if held_out else None,
            config=config,
            shown=_SHOWN,
        )
        found = DryRun(unknown=STOPS_UNKNOWN) if model is None else await self._counted(question)
        if held_out is None and config.validation_split == 0:
            return found
        if found.unknown == _NO_ANSWER:
            return replace(found, near_leaks_unknown=_NO_ANSWER)
        return await self._with_leaks(found, question)

    async def _counted(self, question: RowsQuestion) -> DryRun:
        if await asyncio.to_thread(_is_elsewhere, question.model_path):
            return DryRun(unknown=_ELSEWHERE)
        try:
            answer = await self._ask(Kind.ROWS, question, RowsAnswer)
        except Unanswered as error:
            return _failed(error.failure)
        except Unavailable as error:
            return DryRun(unknown=f"{error.message} {error.remedy or ''}".strip())
        return DryRun(unknown=_NO_ANSWER) if answer is None else _answered(answer, question.config)

    async def _with_leaks(self, found: DryRun, question: RowsQuestion) -> DryRun:
        """The same, and what is nearly equal on both sides."""
        both = [each.examination for each in (question.data, question.held_out) if each]
        if not await asyncio.to_thread(leaks.are_examined, *both):
            return replace(found, near_leaks_unknown=leaks.NOT_EXAMINED)
        try:
            answer = await self._ask(Kind.LEAKS, question, LeaksAnswer)
        except Unanswered as error:
            return replace(found, near_leaks_unknown=error.failure.message)
        except Unavailable as error:
            return replace(found, near_leaks_unknown=error.message)
        if answer is None:
            return replace(found, near_leaks_unknown=_NO_ANSWER)
        if answer.leaks is None:
            return replace(found, near_leaks_unknown=leaks.why(answer))
        of_dataset = question.held_out is not None
        told = leak_findings(answer.leaks, of_dataset=of_dataset, foreseen=answer.foreseen)
        return replace(found, findings=(*found.findings, *told))

    async def _ask(
        self, kind: Kind, question: RowsQuestion, answer: type[AnswerT]
    ) -> AnswerT | None:
        seconds = STARTING_SECONDS if self.companion.pid is None else WARM_SECONDS
        return await self.companion.ask_within(seconds, kind, question, answer)

    def _asked(self, dataset: Dataset) -> RecordsAsked:
        return RecordsAsked(
            path=str(self.artifacts.records(dataset.id)),
            sha256=dataset.sha256 or "",
            records=dataset.record_count,
            examination=str(self.artifacts.examination(dataset.id)),
        )


def _without_early_stop(finding: Finding) -> Finding:
    group = (finding.suggested_patch or {}).get("earlyStopping")
    starts = isinstance(group, Mapping) and group.get("enabled") is True
    return finding.model_copy(update={"suggested_patch": None}) if starts else finding


def _is_elsewhere(source: str) -> bool:
    """Whether a model's folder is none of this machine's."""
    path = Path(source)
    return path.is_absolute() and not path.is_dir()


def _answered(answer: RowsAnswer, config: TrainingConfig) -> DryRun:
    if answer.rows is None:
        return DryRun(unknown=TOO_MANY, shown=answer.shown)
    findings = tuple(row_findings(answer.rows, config))
    return DryRun(rows=answer.rows, shown=answer.shown, findings=findings)


def _failed(failure: Failure) -> DryRun:
    """What would end the run is a finding; what is in the way here alone is not."""
    unknown = f"The records could not be rendered. {failure.message}"
    return DryRun(unknown=unknown, findings=tuple(_of_the_template(failure)))


def _of_the_template(failure: Failure) -> Iterator[Finding]:
    if failure.code in OF_THE_TEMPLATE:
        yield Finding(
            severity=Severity.ERROR,
            code=failure.code,
            path=PATHS["chat_template"],
            message=failure.message,
            remedy=failure.remedy or "Choose another template.",
        )


STOPS_UNKNOWN: Final = (
    "The run starts from a version's whole weights, and stops where that does. It counts its records "
    "itself."
)
"""Of a run whose base is none of the registered models."""
_ELSEWHERE: Final = (
    "The model's files are not on the API's machine. A run counts its records itself."
)
_NO_ANSWER: Final = (
    "The process that counts records is starting, or is busy. Validate again in a moment."
)
TOO_MANY: Final = (
    "The data is too large to be tokenised while you wait. Ask for it with examineDataset, of the "
    "validation dataset too if there is one, with the same modelId, chatTemplate and trainOn; a worker then "
    "does it, and keeps the tokens for the run."
)
