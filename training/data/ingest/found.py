"""Records that go for what the doctor found of them; only where that was asked for, as it brings numpy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from training.config import DataType
from training.data.derivation import Cause, Removal
from training.data.doctor.application import apply
from training.data.doctor.checks import ROW_CODES
from training.data.doctor.errors import ExaminationDamaged, RecordsRefused, TokensNotKept
from training.data.doctor.examination import examine
from training.data.doctor.kept import kept_marks
from training.data.doctor.marks import Marks, having
from training.data.doctor.report import MAX_LINES
from training.data.ingest.spec import DerivedSource
from training.data.ingest.stored_lines import StoredLines
from training.data.records import Record
from training.progress.telling import Teller

__all__ = ["EXAMINING_PERCENT", "drop_found"]

EXAMINING_PERCENT: Final = 85.0
"""How much of the work it is to look at records that nobody has looked at."""


def drop_found(
    source: DerivedSource,
    data_type: DataType,
    records: StoredLines,
    *,
    gone: bytearray,
    teller: Teller,
) -> list[Removal]:
    """Mark the records that the strategies drop, of those that are not marked.

    Raises `RecordsRefused` where one of these has what is an error, and `TokensNotKept`.
    """
    strategies = source.removal.strategies
    places = np.frombuffer(gone, np.uint8)  # the same memory
    marks = _staying(_marks(source, data_type, records, teller), places)
    applied = apply(marks, strategies)
    if applied.outcome.refused:
        raise RecordsRefused(
            {
                code: (count, marks.lines[having(marks, code)][:MAX_LINES].tolist())
                for code, count in applied.outcome.refused.items()
            }
        )
    for lines in applied.dropped.values():
        places[lines] = 1
    return [
        Removal(
            cause=Cause.FINDING,
            finding=code,
            count=len(lines),
            lines=tuple(lines[:MAX_LINES].tolist()),
        )
        for code, lines in applied.dropped.items()
    ]


def _staying(marks: Marks, places: np.typing.NDArray[np.uint8]) -> Marks:
    stays = places[marks.lines] == 0
    return Marks(marks.lines[stays], marks.bits[stays])


def _marks(
    source: DerivedSource, data_type: DataType, records: StoredLines, teller: Teller
) -> Marks:
    """What was found of each record, as far as the strategies are about it."""
    codes = source.removal.strategies.keys()
    if source.token_examination is None:
        return _record_marks(source, data_type, records, teller)
    in_tokens = _token_marks(Path(source.token_examination))
    if codes <= ROW_CODES:
        return in_tokens
    return in_tokens.with_those(_record_marks(source, data_type, records, teller))


def _token_marks(folder: Path) -> Marks:
    try:
        return kept_marks(folder)
    except (FileNotFoundError, ExaminationDamaged) as error:
        raise TokensNotKept from error


def _record_marks(
    source: DerivedSource, data_type: DataType, records: StoredLines, teller: Teller
) -> Marks:
    """They are looked for now where they are not there, or cannot be read."""
    try:
        return kept_marks(Path(source.examination))
    except (FileNotFoundError, ExaminationDamaged):
        return examine(data_type, _told(records, teller)).marks


def _told(records: StoredLines, teller: Teller) -> Iterator[tuple[int, Record]]:
    for line, content in records:
        teller.came(lambda: EXAMINING_PERCENT * records.read_bytes / max(1, records.size_bytes))
        yield line, json.loads(content)
