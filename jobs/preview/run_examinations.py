"""What examinations of its datasets' tokens say of a run, beside what was counted of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from jobs.data.examinations import as_finding
from jobs.models import Dataset, TokenExamination
from jobs.preview.dry_runs import TOO_MANY, DryRun
from jobs.status import TaskStatus
from training.config import OnTooLong, TrainingConfig
from training.data.doctor.checks import Code
from training.data.doctor.report import DataFinding, TokenReport
from training.events import Failure
from training.findings import PATHS, Finding, Severity
from training.held_out import VALIDATION_DATASET
from training.templates.checks import OF_THE_TEMPLATE

__all__ = ["Known", "known", "with_examinations"]


async def with_examinations(
    found: DryRun,
    model_id: UUID,
    config: TrainingConfig,
    *,
    dataset: Dataset,
    held_out: Dataset | None,
) -> DryRun:
    """What was counted of a run of this model by this config, and what examinations of its datasets'
    tokens say besides."""
    places: dict[tuple[str, ...], Dataset] = {("datasetId",): dataset}
    if held_out is not None:
        places[VALIDATION_DATASET] = held_out
    examined = {path: await known(each.id, model_id, config) for path, each in places.items()}
    return _together(found, examined, config)


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


def _together(
    found: DryRun, examined: Mapping[tuple[str, ...], Known], config: TrainingConfig
) -> DryRun:
    """What was found here, and what examinations say besides, by the place of each dataset."""
    told = {each.code for each in found.findings}
    more = [
        finding
        for path, each in examined.items()
        for finding in each.findings(config, path, counted=found.rows is not None)
        if finding.code not in told
    ]
    return replace(
        found,
        unknown=_uncounted(list(examined.values())) if found.unknown == TOO_MANY else found.unknown,
        findings=(*found.findings, *more),
        examinations=tuple(each.asked for each in examined.values() if each.asked),
    )


def _uncounted(examined: Sequence[Known]) -> str:
    """Why records are not counted that are too many to be rendered while one waits."""
    asked = [each.asked for each in examined if each.asked]
    waiting = [each for each in asked if each.status in (TaskStatus.QUEUED, TaskStatus.RUNNING)]
    if waiting:
        slowest = min(waiting, key=lambda each: each.progress)
        return f"{_COUNTED_NOW} ({slowest.progress:.0f} %)."
    for each in examined:
        if each.failure is not None:
            return f"The records could not be counted by a worker either. {each.failure.message}"
    return TOO_MANY if any(each.ready is None for each in examined) else _NOT_KEPT


_COUNTED_NOW: Final = (
    "The records are being counted by a worker. Validate again once `tokenExaminations` are READY"
)
_NOT_KEPT: Final = (
    "The data is too large to be tokenised while you wait, and its tokens are not kept as this run would "
    "have them. They are told in `tokenExaminations`; a run counts its records itself."
)
