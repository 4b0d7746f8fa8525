"""Rows of Parquet, a row group at a time and of that a few rows at once."""

from typing import TYPE_CHECKING, BinaryIO, Final

from training.data.containers.limits import Limits
from training.data.containers.rows import RawRow, Rows, refused
from training.errors import SourceUnreadable

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]  # it has no types

__all__ = ["MAGIC", "parquet_rows"]

MAGIC: Final = b"PAR1"

_MAX_BATCH: Final = 512


def parquet_rows(file: BinaryIO, limits: Limits) -> Rows:
    """Each row as its fields by column, or why there is none. The file must be seekable.

    `SourceUnreadable` where the file's index, at its end, cannot be read.
    """
    # pyarrow is heavy (it brings numpy) and the service needs it for these files alone
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no types
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1024 * 1024)
    except (pa.ArrowException, OSError) as error:
        raise SourceUnreadable(
            "PARQUET_DAMAGED", f"its index is damaged: {_line(error)}", "Write the file again."
        ) from None
    begin = 1
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        given = 0
        try:
            for row in _group_rows(parquet, group, begin=begin, limits=limits):
                given += 1
                yield row
        except (pa.ArrowException, OSError) as error:
            message = f"Rows up to {begin + rows - 1} are damaged: {_line(error)}."
            yield refused(begin + given, "PARQUET_DAMAGED", message)
        begin += rows


def _group_rows(parquet: "ParquetFile", group: int, *, begin: int, limits: Limits) -> Rows:
    facts = parquet.metadata.row_group(group)
    columns = [facts.column(index) for index in range(facts.num_columns)]
    packed = sum(column.total_compressed_size for column in columns)
    if _expands_too_much(facts.total_byte_size, packed, limits):
        message = (
            f"{packed:,} compressed bytes become {facts.total_byte_size:,}; "
            f"rows {begin} to {begin + facts.num_rows - 1} were not read."
        )
        yield refused(begin, "EXPANDS_TOO_MUCH", message)
        return
    mean_bytes = facts.total_byte_size // max(1, facts.num_rows) + 1
    batch = max(1, min(_MAX_BATCH, limits.row_bytes // mean_bytes))
    batches = parquet.iter_batches(batch_size=batch, row_groups=[group], use_threads=False)
    values = (value for each in batches for value in each.to_pylist())
    for number, value in enumerate(values, begin):
        size = _text_size(value)
        if size > limits.row_bytes:
            message = f"The row has {size:,} characters; at most {limits.row_bytes:,} are read."
            yield refused(number, "ROW_TOO_LARGE", message)
        else:
            yield RawRow(number, value)


def _expands_too_much(size: int, packed: int, limits: Limits) -> bool:
    return size > limits.expansion_from_bytes and size > limits.expansion * packed


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
