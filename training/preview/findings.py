"""What a run's records, once counted, say of the run before it is started."""

from collections.abc import Iterator
from typing import Final

from training.config import TrainingConfig
from training.data.doctor.report import Leaks
from training.data.errors import numbered
from training.data.losses import Affected, Loss, leak, losses, near_leak
from training.findings import PATHS, Finding, Severity, error
from training.held_out import VALIDATION_DATASET
from training.preview.questions import CountedRows, CountedSides, Lines, LostRecords

__all__ = ["leak_findings", "row_findings"]

_LENGTH: Final = PATHS["max_sequence_length"]


def row_findings(rows: CountedRows, config: TrainingConfig) -> Iterator[Finding]:
    """Errors that would end the run over its records, and what it would do to them."""
    yield from _refusals(rows, config)
    if rows.sides is not None:
        yield from _nothing_left(rows, rows.sides, config)
    sides = [(rows.lost, "records", _LENGTH)]
    if rows.lost_held_out is not None:
        sides.append((rows.lost_held_out, "records of the validation dataset", VALIDATION_DATASET))
    for lost, records, path in sides:
        yield from _losses(lost, records, path, config.max_sequence_length)
    if rows.sides is not None and rows.sides.leaked.count:
        told = leak(_affected(rows.sides.leaked), config.drop_leaks_from)
        yield _warning(told, PATHS["drop_leaks_from"])


def leak_findings(leaks: Leaks, *, of_dataset: bool, foreseen: bool) -> Iterator[Finding]:
    """That records on the two sides of a run are nearly equal. `of_dataset` says whether those tested
    with have a dataset of their own, `foreseen` whether the sides are not counted."""
    if not leaks.near:
        return
    told = near_leak(leaks, of_dataset=of_dataset)
    if foreseen:
        told = told._replace(message=f"If no record is left out, {told.message}")
    yield _warning(told, VALIDATION_DATASET if of_dataset else PATHS["validation_split"])


def _refusals(rows: CountedRows, config: TrainingConfig) -> Iterator[Finding]:
    longest = config.max_sequence_length
    for lost, records in (
        (rows.lost, "records"),
        (rows.lost_held_out, "records of the validation dataset"),
    ):
        if lost is not None and lost.refused.count:
            yield error(
                "RECORDS_EXCEED_LENGTH",
                f"{lost.refused.count} {records} are longer than {longest} tokens, which onTooLong "
                f"ERROR refuses: {_at(lost.refused)}.",
                remedy="Set onTooLong to TRUNCATE to train on their beginning, or to DROP, or raise "
                "maxSequenceLength.",
                changes={"on_too_long": "TRUNCATE"},
            )


def _nothing_left(
    rows: CountedRows, sides: CountedSides, config: TrainingConfig
) -> Iterator[Finding]:
    if sides.training_records == 0:
        yield Finding(
            severity=Severity.ERROR,
            code="NOTHING_TO_TRAIN",
            path=("datasetId",),
            message=f"No record is left to train on: {_reasons(rows.lost, sides.leaked.count, config.max_sequence_length)}.",
            remedy="Raise maxSequenceLength, shorten the prompts, or add records.",
        )
    elif config.early_stopping.enabled and sides.validation_records == 0:
        yield error(
            "NO_VALIDATION_RECORDS",
            "Early stopping needs validation records, and none is left that is no duplicate and has a "
            "token to be learnt.",
            remedy="Add records to validate with, or turn early stopping off.",
            changes={"early_stopping.enabled": False},
        )


def _reasons(lost: LostRecords, leaked: int, longest: int) -> str:
    reason = (
        f"{lost.without_loss.count} have no token that bears loss within {longest} tokens, and "
        f"{lost.too_long.count} are longer"
    )
    return reason + (f", and {leaked} are in the other dataset, too" if leaked else "")


def _losses(
    lost: LostRecords, records: str, path: tuple[str, ...], longest: int
) -> Iterator[Finding]:
    found = losses(
        records,
        longest,
        without_loss=_affected(lost.without_loss),
        too_long=_affected(lost.too_long),
        truncated=_affected(lost.truncated),
    )
    for each in found:
        yield _warning(each, path)


def _affected(lines: Lines) -> Affected:
    return Affected(lines.count, lines.first)


def _warning(loss: Loss, path: tuple[str, ...]) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        code=loss.code,
        path=path,
        message=loss.message,
        remedy=loss.remedy,
    )


def _at(lines: Lines) -> str:
    return numbered(lines.first, lines.count)
