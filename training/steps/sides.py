"""The two sides of a run's records, by its config: what is trained on, and what is held out."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from training.config import Side, TrainingConfig
from training.data import splitting
from training.data.labels import Labels, Unlabelled
from training.data.rendering import Row
from training.data.splitting import Sides, as_digests
from training.events import WarningRaised
from training.steps.schedule import validation_rows

__all__ = ["Divided", "divide", "lines_named"]

_NAMED_LINES: Final = 20
"""How many line numbers a warning lists."""


class Divided(NamedTuple):
    """The rows of both sides by their indices, and what is to be told of how they came about.

    The validation side's are of the rows that were held out from the start, where there were such.
    """

    sides: Sides
    leaked_lines: tuple[int, ...] = ()
    """Of the records left out of one side because the other has them, too."""
    stratified_by: str | None = None
    warning: WarningRaised | None = None


def divide(
    rows: Sequence[Row],
    config: TrainingConfig,
    *,
    held_out: Sequence[Row] | None,
    find_labels: Callable[[], Labels | Unlabelled],
) -> Divided:
    """Divide rows: by the config's share, or beside those that a dataset of its own holds out.

    `find_labels` is asked for a label of each row, where the config would have them.
    """
    if held_out is not None:
        return _beside(rows, held_out, config.drop_leaks_from)
    wanted = validation_rows(len(rows), config.validation_split)
    contents = as_digests((row.content for row in rows), len(rows))
    if not config.stratify or not wanted:
        return Divided(splitting.split(contents, wanted, config.seed))
    labels = find_labels()
    if isinstance(labels, Unlabelled):
        sides = splitting.split(contents, wanted, config.seed)
        return Divided(sides, warning=_not_stratified(labels))
    sides = splitting.split(contents, wanted, config.seed, labels=labels.of_record)
    return Divided(sides, stratified_by=labels.field)


def lines_named(numbers: Sequence[int]) -> str:
    """Line numbers for a sentence, the first of them where there are many."""
    named = ", ".join(str(number) for number in numbers[:_NAMED_LINES])
    more = len(numbers) - _NAMED_LINES
    word = "line" if len(numbers) == 1 else "lines"
    return f"{word} {named}" + (f" and {more} more" if more > 0 else "")


def _beside(rows: Sequence[Row], held_out: Sequence[Row], drop_from: Side) -> Divided:
    """All rows on the side of their dataset, but for those that the other side has too."""
    contents = [as_digests((row.content for row in each), len(each)) for each in (rows, held_out)]
    from_training = drop_from is Side.TRAINING
    kept, leaked = splitting.apart(*contents) if from_training else splitting.apart(*contents[::-1])
    if from_training:
        sides = Sides(kept, splitting.all_of(len(held_out)))
    else:
        sides = Sides(splitting.all_of(len(rows)), kept)
    if not len(leaked):
        return Divided(sides)
    side = rows if from_training else held_out
    lines = tuple(side[index].line for index in leaked.tolist())
    return Divided(sides, leaked_lines=lines, warning=_leak(lines, drop_from))


def _leak(lines: Sequence[int], drop_from: Side) -> WarningRaised:
    if drop_from is Side.TRAINING:
        where, effect = ("the dataset", "the validation dataset"), "trained on"
    else:
        where, effect = ("the validation dataset", "the dataset"), "tested with"
    return WarningRaised(
        code="VALIDATION_LEAK",
        message=f"{len(lines)} records of {where[0]} are in {where[1]} too, and are not {effect}: "
        f"{lines_named(lines)}.",
        remedy=f"Remove them from {where[0]}, or name the other side in dropLeaksFrom.",
    )


def _not_stratified(labels: Unlabelled) -> WarningRaised:
    return WarningRaised(
        code="NOT_STRATIFIED",
        message=f"The records have no labels to be stratified by. {labels.reason}",
        remedy="Leave stratify out, or give every record one of a few labels.",
    )
