"""Which of a dataset's records go where another is derived from it, and for what reasons."""

from itertools import islice
from pathlib import Path
from typing import Final

from training.config import DataType
from training.data import digests
from training.data.derivation import Cause, Removal, marked
from training.data.doctor.report import MAX_LINES
from training.data.ingest.errors import DatasetGone
from training.data.ingest.spec import DerivedSource
from training.data.ingest.stored_lines import StoredLines
from training.progress.telling import Teller

__all__ = ["removed"]

_DIGESTS: Final = ".digests.partial"
"""Hidden so that it goes with what a killed writer left."""


def removed(
    source: DerivedSource,
    data_type: DataType,
    records: StoredLines,
    *,
    scratch: Path,
    teller: Teller,
) -> tuple[bytearray, tuple[Removal, ...]]:
    """A mark for each record, by its line, that is 1 where it goes; and why those go that do.

    Holds some 50 bytes for each record, and 200 while it looks for what nobody has looked for. Raises
    `RecordsRefused`, `TokensNotKept` and `DatasetGone`.
    """
    plan = source.removal
    gone = marked(source.record_count, plan.lines)
    removals = [Removal(cause=Cause.LINES, count=gone.count(1), lines=_lines(gone))]
    if plan.strategies:
        from training.data.ingest.found import drop_found  # 0.3 s, for the doctor alone

        removals += drop_found(source, data_type, records, gone=gone, teller=teller)
    if plan.duplicates:
        removals.append(_drop_duplicates(source, gone, scratch))
    return gone, tuple(each for each in removals if each.count)


def _drop_duplicates(source: DerivedSource, gone: bytearray, scratch: Path) -> Removal:
    records, own = Path(source.path), scratch / _DIGESTS
    before = bytes(gone)
    try:
        with own.open("w+b") as file:
            try:
                digests.write(records, file)
            except FileNotFoundError as error:
                raise DatasetGone from error
        digests.mark_repeated(own, gone)
    finally:
        own.unlink(missing_ok=True)
    return Removal(
        cause=Cause.DUPLICATE,
        count=gone.count(1) - before.count(1),
        lines=_lines(gone, before),
    )


def _lines(gone: bytearray, before: bytes | None = None) -> tuple[int, ...]:
    """The first lines that are marked, and were not before."""
    former = before or bytes(len(gone))
    marks = enumerate(zip(gone, former, strict=True))
    return tuple(islice((line for line, (now, then) in marks if now and not then), MAX_LINES))
