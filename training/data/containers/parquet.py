"""Rows of Parquet, a row group at a time and of that a few rows at once."""

from __future__ import annotations  # pyarrow's names are there for type checkers alone

import os
from typing import TYPE_CHECKING, BinaryIO, Final

from training.data.containers.limits import Limits
from training.data.containers.rows import RawRow, Rows, refused
from training.data.records import Rejected
from training.errors import SourceUnreadable

if TYPE_CHECKING:
    from pyarrow import RecordBatch  # type: ignore[import-untyped]  # it has no types
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]  # it has no types

__all__ = ["MAGIC", "parquet_rows"]

MAGIC: Final = b"PAR1"

_MAX_BATCH: Final = 512


def parquet_rows(file: BinaryIO, limits: Limits) -> Rows:
    """Each row as its fields by column, or why there is none. The file must be seekable.

    `SourceUnreadable` where the file's index, at its end, cannot be read.
    """
    # pyarrow is heavy (it brings numpy) and the service needs it for these files alone
    import pyarrow as pa

    parquet = _opened(file)
    begin, size = 1, 0
    packed = file.seek(0, os.SEEK_END)
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        size += parquet.metadata.row_group(group).total_byte_size
        if size > limits.expansion_from_bytes and size > limits.expansion * packed:
            message = f"{packed:,} bytes become {size:,} with row {begin + rows - 1}."
            yield refused(begin, "EXPANDS_TOO_MUCH", message)
            return
        given = 0
        try:
            for row in _group_rows(parquet, group, begin=begin, limits=limits):
                given += 1
                yield row
        except (pa.ArrowException, ValueError, OSError) as error:
            message = f"Rows up to {begin + rows - 1} are damaged: {_line(error)}."
            yield refused(begin + given, "PARQUET_DAMAGED", message)
        begin += rows


def _opened(file: BinaryIO) -> ParquetFile:
    import pyarrow as pa  # loaded by now
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1024 * 1024)
        names = parquet.schema_arrow.names
    except (pa.ArrowException, ValueError, OSError) as error:
        raise SourceUnreadable(
            "PARQUET_DAMAGED", f"its index is damaged: {_line(error)}", "Write the file again."
        ) from None
    if len(names) != len(set(names)):
        raise SourceUnreadable(
            "DUPLICATE_COLUMN", "two of its columns have one name", "Name each column otherwise."
        )
    return parquet


def _group_rows(parquet: ParquetFile, group: int, *, begin: int, limits: Limits) -> Rows:
    facts = parquet.metadata.row_group(group)
    mean_bytes = max(1, facts.total_byte_size // max(1, facts.num_rows))
    batch = max(1, min(_MAX_BATCH, limits.row_bytes // mean_bytes))
    batches = parquet.iter_batches(batch_size=batch, row_groups=[group], use_threads=False)
    number = begin
    for given in batches:
        rows = _dates_as_text(given)
        for index in range(rows.num_rows):
            yield _row(rows.slice(index, 1), number, limits)
            number += 1


def _dates_as_text(rows: RecordBatch) -> RecordBatch:
    """Dates, times and decimals have more than Python's own can hold, and no record needs them."""
    import pyarrow as pa  # loaded by now

    for index, (name, kind) in enumerate(zip(rows.schema.names, rows.schema.types, strict=True)):
        if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
            rows = rows.set_column(index, name, rows.column(index).cast(pa.string()))
    return rows


def _row(row: RecordBatch, number: int, limits: Limits) -> RawRow | Rejected:
    """A batch of one row as its fields: text, numbers, lists and objects."""
    try:
        value = row.to_pylist()[0]
        size = _text_size(value)
    except (ValueError, OverflowError, RecursionError) as error:
        return refused(number, "ROW_UNREADABLE", f"The row cannot be read: {_line(error)}.")
    if size > limits.row_bytes:
        message = f"The row has {size:,} characters; at most {limits.row_bytes:,} are read."
        return refused(number, "ROW_TOO_LARGE", message)
    return RawRow(number, value)


def _text_size(value: object) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_text_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_text_size, value))
    return 8


def _line(error: Exception) -> str:
    """The first line of an error that goes on for many."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
