"""Validation records that repeat training records, told before a run by what examinations have kept."""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.fingerprints import Fingerprints
from training.data.doctor.kept import kept_fingerprints
from training.data.doctor.leaks import find_leaks
from training.data.token_cache import RecordFile
from training.data.token_file import Integers
from training.preview.questions import (
    ComparisonQuestion,
    LeaksAnswer,
    RecordsAsked,
    RowsQuestion,
    WhyUnknown,
)
from training.steps.sampling import labels_of, sampled
from training.steps.sides import divide
from training.templates.guard import TookTooLong, time_limited

__all__ = ["SideLines", "compared", "leaked", "record_file"]

SECONDS: Final = 0.35
"""Of computing, for the sides of a run: within half a second there is to be an answer."""
COMPARED_SECONDS: Final = 5.0
"""For two whole datasets: a million records beside a million others take little more than one."""


class SideLines(NamedTuple):
    """The lines of the records that a run trains on and of those that it tests with, ascending."""

    training: Integers
    validation: Integers


def leaked(asked: RowsQuestion, counted: SideLines | None) -> LeaksAnswer:
    """What a run would find on both sides; they are foreseen as if no record were left out where
    they are not `counted`. Raises `DatasetDamaged`, `ExaminationDamaged`."""
    try:
        with time_limited(SECONDS):
            training = _kept(asked.data)
            validation = training if asked.held_out is None else _kept(asked.held_out)
            lines = counted or _foreseen(asked, training, validation)
            sides = training.at_lines(lines.training), validation.at_lines(lines.validation)
            return LeaksAnswer(leaks=find_leaks(*sides).leaks, foreseen=counted is None)
    except FileNotFoundError:
        return LeaksAnswer(unknown=WhyUnknown.NOT_EXAMINED)
    except TookTooLong:
        return LeaksAnswer(unknown=WhyUnknown.TOO_MANY)


def compared(asked: ComparisonQuestion) -> LeaksAnswer:
    """Which records of a dataset are in another, or nearly, of which those pairs are named. Raises
    `ExaminationDamaged`."""
    try:
        with time_limited(COMPARED_SECONDS):
            others, ours = (kept_fingerprints(Path(each)) for each in (asked.others, asked.ours))
            return LeaksAnswer(leaks=find_leaks(others, ours, near_pairs_alone=True).leaks)
    except FileNotFoundError:
        return LeaksAnswer(unknown=WhyUnknown.NOT_EXAMINED)
    except TookTooLong:
        return LeaksAnswer(unknown=WhyUnknown.TOO_MANY)


def record_file(
    asked: RowsQuestion, data: RecordsAsked, places: Integers | None = None
) -> RecordFile:
    """The records of a dataset that is asked about, or some of them."""
    return RecordFile(Path(data.path), asked.data_type, data.sha256, places)


def _kept(data: RecordsAsked) -> Fingerprints:
    return kept_fingerprints(Path(data.examination))


def _foreseen(asked: RowsQuestion, training: Fingerprints, validation: Fingerprints) -> SideLines:
    config, total = asked.config, asked.data.records
    records = record_file(asked, asked.data)
    drawn = sampled(records, total, config)
    lines = np.arange(1, total + 1) if drawn.places is None else drawn.places + 1
    contents = _contents(training.at_lines(lines))
    divided = divide(
        contents,
        config,
        held_out=_contents(validation) if asked.held_out else None,
        find_labels=lambda: labels_of(drawn, records, lines, contents),
    )
    tested = validation.lines.astype(np.int64) if asked.held_out else lines
    return SideLines(lines[divided.sides.training], tested[divided.sides.validation])


def _contents(kept: Fingerprints) -> NDArray[np.void]:
    """The digest of each record as one value."""
    digests = np.ascontiguousarray(kept.digests)
    return digests.view(np.dtype((np.void, digests.shape[1] * digests.itemsize))).reshape(-1)
