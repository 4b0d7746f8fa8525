"""The rows of a run counted before there is a run, where that takes a moment.

It is what `training.run_rows` finds, by the same functions, without a word to anybody and without a
file that stays. No torch here.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np

from training.config import OnTooLong, Side, TrainingConfig
from training.data.lengths import Fitting, fitting
from training.data.rendering import Renderer
from training.data.selection import Rows
from training.data.token_cache import CachedRows, RecordFile, stored_rows, token_rows
from training.data.token_file import Integers, TokenTable
from training.preview.leaking import SideLines, record_file
from training.preview.questions import (
    DIVIDED_ROWS,
    NAMED_LINES,
    CountedRows,
    CountedSides,
    Lines,
    LostRecords,
    RecordsAsked,
    RowsQuestion,
)
from training.steps.batches import Plan
from training.steps.sampling import Sampled, labels_of, sampled
from training.steps.schedule import rows_per_step, steps_per_epoch, total_steps
from training.steps.sides import Divided, divide
from training.templates.guard import TookTooLong, time_limited

__all__ = ["Counted", "counted_rows"]

RENDERED_BYTES: Final = 2 * 1024**2
"""Of a file of records that is rendered for this; rows of a larger one are counted where they are
kept."""
SECONDS: Final = 0.35
"""Of computing, for everything: within half a second there is to be an answer."""


class Counted(NamedTuple):
    """The rows of a run, and on which side each is."""

    rows: CountedRows
    sides: SideLines | None
    """None where they are not divided."""


def counted_rows(asked: RowsQuestion, renderer: Renderer) -> Counted | None:
    """The run's rows; None where that would take longer than a moment.

    Raises what `Renderer.rows` raises, and `DatasetDamaged`.
    """
    try:
        with time_limited(SECONDS), TemporaryDirectory() as scratch:
            return _counted(_Reader(asked, renderer, Path(scratch)))
    except TookTooLong:
        return None


class _Read(NamedTuple):
    """The rows of one dataset that a run would use."""

    records: RecordFile
    found: Fitting
    lost: LostRecords


@dataclass(frozen=True)
class _Reader:
    """Reads datasets for a count."""

    asked: RowsQuestion
    renderer: Renderer
    scratch: Path

    def read(self, data: RecordsAsked, places: Integers | None) -> _Read | None:
        """The rows of a dataset; None where they are not there in time."""
        config = self.asked.config
        records = record_file(self.asked, data, places)
        cached = self._cached(records, data.sha256)
        if cached is None:
            return None
        table = TokenTable(cached.path)
        chosen = records.places if cached.has_all else None
        longest = config.max_sequence_length
        refusing = config.on_too_long is OnTooLong.ERROR
        found = fitting(
            table,
            chosen,
            longest=longest,
            on_too_long=OnTooLong.TRUNCATE if refusing else config.on_too_long,
        )
        refused = np.empty(0, np.int64)
        if refusing:
            exceeds = table.tokens > longest
            refused = table.lines[exceeds if chosen is None else chosen[exceeds[chosen]]]
        return _Read(records, found, _lost(found, refused))

    def _cached(self, records: RecordFile, sha256: str) -> CachedRows | None:
        stored = stored_rows(records, self.renderer, sha256=sha256)
        if stored is not None:
            return stored
        if records.path.is_file() and records.path.stat().st_size > RENDERED_BYTES:
            return None
        return token_rows(
            records,
            self.renderer,
            (self.scratch,),
            should_stop=lambda: False,
            advanced=lambda _: None,
        )


def _counted(reader: _Reader) -> Counted | None:
    asked = reader.asked
    config = asked.config
    drawn = sampled(record_file(asked, asked.data), asked.data.records, config)
    trained = reader.read(asked.data, drawn.places)
    tested = reader.read(asked.held_out, None) if asked.held_out else None
    if trained is None or (asked.held_out and tested is None):
        return None
    both = [trained] if tested is None else [trained, tested]
    few = sum(len(each.found.rows) for each in both) <= DIVIDED_ROWS
    divided = _divided(trained, tested, config, drawn) if few else None
    rows = CountedRows(
        sides=_sides(divided, trained, tested, config) if divided else None,
        lost=trained.lost,
        lost_held_out=tested.lost if tested else None,
    )
    return Counted(rows, _lines_of(divided, trained, tested) if divided else None)


def _divided(
    trained: _Read, tested: _Read | None, config: TrainingConfig, drawn: Sampled
) -> Divided:
    rows = trained.found.rows
    return divide(
        rows.contents,
        config,
        held_out=tested.found.rows.contents if tested else None,
        find_labels=lambda: labels_of(drawn, trained.records, rows.lines, rows.contents),
    )


def _lines_of(divided: Divided, trained: _Read, tested: _Read | None) -> SideLines:
    training, validation = trained.found.rows, (tested or trained).found.rows
    return SideLines(
        training.lines[divided.sides.training], validation.lines[divided.sides.validation]
    )


def _sides(
    divided: Divided, trained: _Read, tested: _Read | None, config: TrainingConfig
) -> CountedSides:
    training = trained.found.rows.chosen(divided.sides.training)
    return CountedSides(
        training_records=len(training),
        validation_records=len(divided.sides.validation),
        steps=total_steps(len(training), config),
        trained_tokens=_trained_tokens(training, config),
        leaked=_leaked(divided, trained, tested, config.drop_leaks_from),
    )


def _trained_tokens(training: Rows, config: TrainingConfig) -> int:
    """Over the whole run: of whole epochs, and of the steps of the last where it is cut short."""
    tokens = training.trained_tokens
    each_epoch = steps_per_epoch(len(training), config)
    if each_epoch == 0:
        return 0
    epochs, steps = divmod(total_steps(len(training), config), each_epoch)
    total = epochs * int(tokens.sum())
    if steps == 0:
        return total
    plan = Plan(len(training), rows_per_step(config), config.shuffle, config.seed)
    seen = [index for step in plan.steps(epochs)[:steps] for index in step]
    return total + int(tokens[seen].sum())


def _leaked(divided: Divided, trained: _Read, tested: _Read | None, side: Side) -> Lines:
    read = trained if side is Side.TRAINING else tested
    if read is None or divided.leaked is None:
        return _lines(np.empty(0, np.int64))
    return _lines(read.found.rows.lines[divided.leaked])


def _lost(found: Fitting, refused: Integers) -> LostRecords:
    return LostRecords(
        refused=_lines(refused),
        too_long=_lines(found.too_long),
        truncated=_lines(found.truncated),
        without_loss=_lines(found.without_loss),
    )


def _lines(lines: Integers) -> Lines:
    return Lines(count=len(lines), first=tuple(lines[:NAMED_LINES].tolist()))
