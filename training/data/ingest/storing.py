"""Rows made records, and both kinds written down: those that were taken, and those that were not."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from training.data.containers.rows import RawRow
from training.data.fields import shortened
from training.data.formats.conversion import Converter
from training.data.formats.mapping import Mapping
from training.data.ingest.errors import full_disk_named
from training.data.ingest.source_file import Opened
from training.data.ingest.spec import RECORDS, REJECTED, IngestResult, OnInvalid
from training.data.line_files import writing_lines
from training.data.records import Record, Rejected, canonical_line
from training.data.tally import tallying
from training.events import Failure

__all__ = ["MAX_REJECTED", "left_out", "store", "write"]

MAX_REJECTED: Final = 1_000_000
"""So many mistakes are one; the file that names them has some 200 bytes for each."""
_NAMED: Final = 3
"""How many rejected rows a refusal names itself."""


def store(
    rows: Iterator[RawRow | Rejected],
    mapping: Mapping,
    folder: Path,
    *,
    on_invalid: OnInvalid,
    contents: Opened | None = None,
    came: Callable[[], None] = lambda: None,
) -> IngestResult:
    """Make records of rows and write them, as `write` does.

    `contents` is the file that the rows are of, where they are of one.
    """
    converter = Converter(mapping)
    records = converter.records(rows, contents.places if contents else None)
    stored = write(records, mapping, folder, on_invalid=on_invalid, came=came)
    return stored.model_copy(
        update={
            "container": contents and contents.container,
            "compression": contents and contents.compression,
            "left_out": left_out(converter),
        }
    )


def write(
    rows: Iterator[tuple[int, Record] | Rejected],
    mapping: Mapping,
    folder: Path,
    *,
    on_invalid: OnInvalid,
    came: Callable[[], None],
) -> IngestResult:
    """Write `records.jsonl` and, where a row was not taken, `rejected.jsonl` into the folder.

    A result that is `refused` has no records. `came` is called after each row, of which one is held
    at a time. Raises `NoRoomForDataset`, and then leaves neither file, and whatever reading raises.
    """
    with (
        full_disk_named(),
        writing_lines(folder / REJECTED) as rejected,
        writing_lines(folder / RECORDS) as records,
        tallying(mapping.data_type, folder) as tally,
    ):
        refusal = _Refusal(on_invalid)
        for row in rows:
            if isinstance(row, Rejected):
                rejected.add(row.model_dump_json().encode() + b"\n")
                refusal.note(row)
                if rejected.count > MAX_REJECTED:
                    break
            else:
                line = canonical_line(row[1])
                records.add(line)
                tally.add(row[1], line)
            came()
        refused = refusal.failure(records.count)
        if refused:
            records.discard()
        return IngestResult(
            container=None,
            mapping=mapping,
            rows=records.count + rejected.count,
            rejected_count=rejected.count,
            left_out={},
            statistics=tally.statistics(),
            size_bytes=records.size_bytes,
            sha256=records.sha256(),
            refused=refused,
        )


def left_out(converter: Converter) -> dict[str, int]:
    """Rows by what they had and their records have not, with names that can be stored and shown."""
    counts: Counter[str] = Counter()
    for name, count in converter.left_out.items():
        counts[shortened(name)] += count
    return dict(counts)


class _Refusal:
    """Whether rows that cannot be taken refuse the others too."""

    def __init__(self, on_invalid: OnInvalid) -> None:
        self._on_invalid = on_invalid
        self._count = 0
        self._named: list[str] = []

    def note(self, row: Rejected) -> None:
        """Count a row that was not taken."""
        self._count += 1
        if len(self._named) < _NAMED:
            self._named.append(f"Line {row.line}: {row.message}")

    def failure(self, taken: int) -> Failure | None:
        """Why there is no dataset; None where there is one."""
        named = " ".join(self._named)
        if not taken and not self._count:
            return Failure(
                code="EMPTY_DATASET",
                message="The dataset has no records.",
                remedy="Send at least one record.",
            )
        if self._count > MAX_REJECTED:
            return Failure(
                code="TOO_MANY_INVALID",
                message=f"More than {MAX_REJECTED} rows are invalid. {named}",
                remedy="Look whether the mapping is what the rows have.",
            )
        if self._count and (self._on_invalid is OnInvalid.ERROR or not taken):
            return Failure(
                code="INVALID_RECORDS",
                message=f"{self._count} of {self._count + taken} records are invalid. {named}",
                remedy="See `rejected` for each. Correct them or the mapping, or send onInvalid: DROP "
                "to leave them out.",
            )
        return None
