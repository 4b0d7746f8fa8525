"""What becomes of records that a run cannot train on, or not on all of: said alike before it and in it."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from training.config import Side
from training.data.doctor.report import Leaks
from training.data.errors import numbered
from training.wording import counted

__all__ = ["Affected", "Loss", "leak", "losses", "near_leak"]

_NAMED_PAIRS: Final = 10


class Affected(NamedTuple):
    """Records to which the same happens."""

    total: int
    first: Sequence[int]
    """Lines of the first of them, from 1."""


class Loss(NamedTuple):
    """What happens to some records, why, and what to do about it."""

    code: str
    message: str
    remedy: str


def losses(
    records: str, longest: int, *, without_loss: Affected, too_long: Affected, truncated: Affected
) -> Iterator[Loss]:
    """What is lost at a length of `longest` tokens; `records` says whose they are."""
    told = (
        (
            "RECORDS_DROPPED",
            without_loss,
            f"have no token that bears loss within {longest} tokens and are left out",
            "Raise maxSequenceLength, or shorten their prompts.",
        ),
        (
            "RECORDS_TOO_LONG",
            too_long,
            f"are longer than {longest} tokens and are left out",
            "Raise maxSequenceLength, or set onTooLong to TRUNCATE to train on their beginning.",
        ),
        (
            "RECORDS_TRUNCATED",
            truncated,
            f"are longer than {longest} tokens and are cut at their end",
            "Raise maxSequenceLength to train on them whole.",
        ),
    )
    for code, affected, what, remedy in told:
        if affected.total:
            lines = numbered(affected.first, affected.total)
            message = f"{counted(affected.total, f'{records} {what}')}: {lines}."
            yield Loss(code, message, remedy)


def leak(leaked: Affected, drop_from: Side) -> Loss:
    """What is lost of the side that leaves out the records which the other has too."""
    if drop_from is Side.TRAINING:
        here, there, effect = "the dataset", "the validation dataset", "trained on"
    else:
        here, there, effect = "the validation dataset", "the dataset", "tested with"
    return Loss(
        "VALIDATION_LEAK",
        f"{counted(leaked.total, f'records of {here} are in {there} too, and are not {effect}')}: "
        f"{numbered(leaked.first, leaked.total)}.",
        f"Remove them from {here}, or name the other side in dropLeaksFrom.",
    )


def near_leak(leaks: Leaks, *, of_dataset: bool) -> Loss:
    """What is to be known of validation records that are nearly those trained on, which both sides
    keep; `of_dataset` says whether they have a dataset of their own."""
    pairs = leaks.pairs[:_NAMED_PAIRS]
    named = ", ".join(f"{each.validation_line} (line {each.training_line})" for each in pairs)
    more = f" and {leaks.near - len(pairs)} more" if leaks.near > len(pairs) else ""
    if of_dataset:
        whose, remedy = "of the validation dataset", "Remove either of each pair from its dataset"
    else:
        whose, remedy = "that are held out", "Remove either of each pair from the dataset"
    return Loss(
        "VALIDATION_NEAR_LEAK",
        f"{counted(leaks.near, f'records {whose}')} {'is' if leaks.near == 1 else 'are'} nearly equal to "
        "records that are trained on: "
        f"{'line' if leaks.near == 1 else 'lines'} {named}{more}.",
        f"{remedy} by deriveDataset; else validation looks better than it is.",
    )
