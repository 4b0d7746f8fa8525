"""Files made in memory, and what is read from them."""

import gzip
import io
import json
from collections.abc import Iterable, Mapping
from functools import partial

from backports import zstd

from training.config import DataType
from training.data.containers.limits import Limits
from training.data.containers.reading import Container, open_contents
from training.data.containers.rows import RawRow
from training.data.records import Record, Rejected, Statistics, canonical_line
from training.data.tally import tallying


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def read(content: bytes, limits: Limits | None = None) -> tuple[Container, list[RawRow | Rejected]]:
    contents = open_contents(io.BytesIO(content), limits)
    return contents.container, list(contents.rows)


def values(rows: Iterable[RawRow | Rejected]) -> list[tuple[int, object]]:
    """Those that were read, with their lines."""
    return [(row.line, row.value) for row in rows if isinstance(row, RawRow)]


def told(rows: Iterable[RawRow | Rejected]) -> list[tuple[int, object] | Rejected]:
    """All of them: those that were read with their lines, and those that were not."""
    return [(row.line, row.value) if isinstance(row, RawRow) else row for row in rows]


def problems(rows: Iterable[object]) -> list[tuple[int, str]]:
    """Those that were not, by line and code."""
    return [(row.line, row.code) for row in rows if isinstance(row, Rejected)]


def parquet(
    rows: list[Mapping[str, object]], *, group: int | None = None, compression: str = "snappy"
) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    file = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(rows),
        file,
        row_group_size=group,
        compression=compression,
        use_dictionary=False,
    )
    return file.getvalue()


def statistics(data_type: DataType, records: Iterable[Record]) -> Statistics:
    with tallying(data_type) as tally:
        for record in records:
            tally.add(record, canonical_line(record))
        return tally.statistics()


PACKERS = {
    "gzip": partial(gzip.compress, mtime=0),  # no time in it: what is sent names the test
    "zstd": zstd.compress,
}
