"""The two sides of a run's rows, by its config: what is trained on, and what is held out."""

from collections.abc import Callable
from typing import NamedTuple

from training.config import Side, TrainingConfig
from training.data.labels import Labels, Unlabelled
from training.data.splitting import Digests, Indices, Sides, all_of, apart, split
from training.events import WarningRaised
from training.steps.schedule import validation_rows

__all__ = ["Divided", "divide", "not_stratified"]


class Divided(NamedTuple):
    """The rows of both sides by their indices, and how they came about."""

    sides: Sides
    """Those of validation are among the rows of its own dataset, where there is one."""
    leaked: Indices | None = None
    """Of the rows left out of a side because the other has them too; None without two datasets."""
    labels: Labels | Unlabelled | None = None
    """What each label was held out in its share of, or why not; None where that was not asked."""


def divide(
    contents: Digests,
    config: TrainingConfig,
    *,
    held_out: Digests | None,
    find_labels: Callable[[], Labels | Unlabelled],
) -> Divided:
    """Divide rows, given by the digests of their contents: by the config's share, or beside those
    that a dataset of its own holds out.

    `find_labels` is asked for a label of each row, where the config would have them.
    """
    if held_out is not None:
        return _beside(contents, held_out, config.drop_leaks_from)
    wanted = validation_rows(len(contents), config.validation_split)
    labels = find_labels() if config.stratify and wanted else None
    of_row = labels.of_record if isinstance(labels, Labels) else None
    return Divided(split(contents, wanted, config.seed, labels=of_row), labels=labels)


def not_stratified(labels: Unlabelled) -> WarningRaised:
    """That labels were not held out in their shares, for there are none."""
    return WarningRaised(
        code="NOT_STRATIFIED",
        message=f"The records have no labels to be stratified by. {labels.reason}",
        remedy="Leave stratify out, or give every record one of a few labels.",
    )


def _beside(contents: Digests, held_out: Digests, drop_from: Side) -> Divided:
    """All rows on the side of their dataset, but for those that the other side has too."""
    if drop_from is Side.TRAINING:
        kept, leaked = apart(contents, held_out)
        return Divided(Sides(kept, all_of(len(held_out))), leaked)
    kept, leaked = apart(held_out, contents)
    return Divided(Sides(all_of(len(contents)), kept), leaked)
