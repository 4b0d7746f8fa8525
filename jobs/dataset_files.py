"""The file of a dataset: written, counted and summed up in one pass, a record at a time."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from jobs.errors import InvalidInput
from training.config import DataType
from training.data.records import (
    Record,
    Rejected,
    Statistics,
    canonical_line,
    statistics,
    validate,
)

__all__ = ["MAX_FILE_BYTES", "Stored", "store"]

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""What can be read while a request waits: 4 MB a second where records are short, in half a minute."""
MAX_REJECTED: Final = 10_000
"""They are kept in the dataset's row, and this many mistakes are one."""


@dataclass(frozen=True)
class Stored:
    """What was written; `rows` counts those that were rejected, too."""

    rows: int
    rejected: list[Rejected]
    statistics: Statistics
    size_bytes: int
    sha256: str

    def columns(self) -> dict[str, Any]:
        """What the dataset's row says of its records."""
        return {
            "record_count": self.statistics.records,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "statistics": self.statistics.model_dump(mode="json"),
        }


def store(
    rows: Iterable[tuple[int, object]],
    data_type: DataType,
    target: Callable[[], AbstractContextManager[BinaryIO]],
) -> Stored:
    """Write every valid row to `target` as canonical JSONL, holding one at a time.

    A row may be a `Rejected` already. InvalidInput where more are rejected than can be kept.
    """
    with target() as file:
        taken = _Taken(file, data_type)
        figures = statistics(data_type, taken.each(rows))
    return Stored(
        rows=taken.rows,
        rejected=taken.rejected,
        statistics=figures,
        size_bytes=taken.size_bytes,
        sha256=taken.digest.hexdigest(),
    )


class _Taken:
    """Writes the records of one file as they are asked for."""

    def __init__(self, file: BinaryIO, data_type: DataType) -> None:
        self._file = file
        self._data_type = data_type
        self.rows = 0
        self.rejected: list[Rejected] = []
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    def each(self, rows: Iterable[tuple[int, object]]) -> Iterator[Record]:
        """The valid records, each of them written."""
        for line, raw in rows:
            self.rows += 1
            if isinstance(raw, Rejected):
                self._reject(raw)
                continue
            checked = validate(self._data_type, [(line, raw)])
            for rejected in checked.rejected:
                self._reject(rejected)
            for _, record in checked.records:
                self._write(canonical_line(record))
                yield record

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self.digest.update(content)
        self.size_bytes += len(content)

    def _reject(self, rejected: Rejected) -> None:
        self.rejected.append(rejected)
        if len(self.rejected) > MAX_REJECTED:
            raise InvalidInput.at(
                ["source"],
                f"More than {MAX_REJECTED} records are invalid, line {rejected.line} the last seen: "
                f"{rejected.message}",
                code="TOO_MANY_INVALID",
                remedy="Look whether dataType is the type that the records have.",
            )
