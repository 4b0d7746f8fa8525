"""Whole rows in one Arrow file, in the streaming format that `datasets` reads, too.

A row has the record's line, its tokens, the spans of them that bear loss (their starts and ends, one
after the other), a digest of the record, and two counts. No torch here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it has no types
from numpy.typing import NDArray

from training.data.rows import IGNORED, Row

__all__ = [
    "Columns",
    "Integers",
    "TokenTable",
    "TokenWriter",
    "columns_of",
    "read_rows",
    "token_writer",
]

Integers: TypeAlias = NDArray[np.int64]
_NumberT = TypeVar("_NumberT", np.int32, np.int64)

_SCHEMA: Final = pa.schema(
    {
        "line": pa.int64(),
        "input_ids": pa.list_(pa.int32()),
        "trained_spans": pa.list_(pa.int32()),
        "content": pa.binary(),
        "tokens": pa.int32(),
        "trained_tokens": pa.int32(),
    }
)
_DIGEST_BYTES: Final = 32


class Columns(NamedTuple):
    """Rows as they will lie in the file, column by column."""

    lines: Integers
    ids: NDArray[np.int32]
    lengths: Integers
    """How many of the ids each row has."""
    spans: NDArray[np.int32]
    span_lengths: Integers
    contents: bytes
    trained_tokens: NDArray[np.int32]


def columns_of(rows: Sequence[Row]) -> Columns:
    """Rows that lie in memory as columns, which take a tenth of theirs."""
    lengths = np.array([row.tokens for row in rows], dtype=np.int64)
    total = int(lengths.sum())
    trained = _flat((row.labels for row in rows), total) != IGNORED
    spans, span_lengths = _spans(trained, np.cumsum(lengths), lengths)
    return Columns(
        lines=np.array([row.line for row in rows], dtype=np.int64),
        ids=_flat((row.input_ids for row in rows), total),
        lengths=lengths,
        spans=spans,
        span_lengths=span_lengths,
        contents=b"".join(row.content for row in rows),
        trained_tokens=_sums(trained, lengths).astype(np.int32),
    )


class TokenWriter:
    """Appends rows to a file, a batch at a time."""

    def __init__(self, stream: pa.RecordBatchStreamWriter) -> None:
        self._stream = stream

    def write(self, parts: Sequence[Columns]) -> None:
        """Append some rows, or none, as one batch."""
        lines, ids, lengths, spans, span_lengths, contents, trained_tokens = zip(
            *(parts or [columns_of(())]), strict=True
        )
        each = np.concatenate(lengths)
        columns = [
            _array(pa.int64(), np.concatenate(lines)),
            _lists(np.concatenate(ids), each),
            _lists(np.concatenate(spans), np.concatenate(span_lengths)),
            _digests(b"".join(contents), len(each)),
            _array(pa.int32(), each.astype(np.int32)),
            _array(pa.int32(), np.concatenate(trained_tokens)),
        ]
        self._stream.write_batch(pa.record_batch(columns, schema=_SCHEMA))


@contextmanager
def token_writer(path: Path) -> Iterator[TokenWriter]:
    """A new file of rows."""
    with path.open("wb") as file, pa.ipc.new_stream(file, _SCHEMA) as stream:
        yield TokenWriter(stream)


class _Batch(NamedTuple):
    """A batch of rows as it lies in the file; row i has the items from offset i to i + 1."""

    ids: NDArray[np.int32]
    id_offsets: NDArray[np.int32]
    spans: NDArray[np.int32]
    span_offsets: NDArray[np.int32]
    contents: NDArray[np.uint8]

    def input_ids(self, place: int, tokens: int) -> list[int]:
        start = self.id_offsets[place]
        ids: list[int] = self.ids[start : start + tokens].tolist()
        return ids

    def labels(self, place: int, ids: list[int]) -> list[int]:
        """Of the first tokens of a row, which are these."""
        labels = [IGNORED] * len(ids)
        spans = self.spans[self.span_offsets[place] : self.span_offsets[place + 1]].tolist()
        for start, end in zip(spans[::2], spans[1::2], strict=True):
            labels[start:end] = ids[start:end]  # past the last token both are empty
        return labels


class TokenTable:
    """The rows of a file, which is mapped into memory: what is not looked at is not read."""

    def __init__(self, path: Path) -> None:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            table: pa.Table = stream.read_all()
        self.lines = _column(table, "line", np.int64)
        self.tokens = _column(table, "tokens", np.int32)
        self._trained = _column(table, "trained_tokens", np.int32)
        self._batches = [_batch(each) for each in table.to_batches()]
        sizes = [len(batch.id_offsets) - 1 for batch in self._batches]
        self._begins: Integers = np.cumsum([0, *sizes], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lines)

    def input_ids(self, index: int, tokens: int) -> list[int]:
        """The first tokens of a row."""
        batch, place = self._find(index)
        return batch.input_ids(place, tokens)

    def labels(self, index: int, tokens: int) -> list[int]:
        """The labels of the first tokens of a row."""
        batch, place = self._find(index)
        return batch.labels(place, batch.input_ids(place, tokens))

    def trained_tokens(self, longest: int) -> Integers:
        """How many tokens of each row bear loss, of its first `longest`."""
        counts = self._trained.copy()
        too_long = self.tokens > longest
        for batch, begin in zip(self._batches, self._begins, strict=False):
            within = slice(begin, begin + len(batch.id_offsets) - 1)
            if too_long[within].any():
                counts[within] = _trained_within(batch, longest)
        return counts

    def contents(self) -> NDArray[np.void]:
        """The digest of each row's record: equal for exact duplicates."""
        whole = np.concatenate([batch.contents for batch in self._batches] or [_NO_BYTES])
        return whole.view(np.dtype((np.void, _DIGEST_BYTES)))

    def _find(self, index: int) -> tuple[_Batch, int]:
        number = int(np.searchsorted(self._begins, index, side="right")) - 1
        return self._batches[number], index - int(self._begins[number])


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file in order, and whole. It is not mapped, and no more than a batch of it is held:
    what of a mapped file was read counts as memory of this process."""
    with path.open("rb") as file, pa.ipc.open_stream(file) as stream:
        for stored in stream:
            batch = _batch(stored)
            contents = batch.contents.reshape(-1, _DIGEST_BYTES)
            lengths = np.diff(batch.id_offsets).tolist()
            lines = _numbers(stored.column("line"), np.int64).tolist()
            for place, (line, tokens) in enumerate(zip(lines, lengths, strict=True)):
                ids = batch.input_ids(place, tokens)
                labels = batch.labels(place, ids)
                yield Row(line, ids, labels, contents[place].tobytes())


_NO_BYTES: Final = np.empty(0, dtype=np.uint8)


def _column(table: pa.Table, name: str, kind: type[_NumberT]) -> Integers:
    parts = [_numbers(each, kind) for each in table.column(name).chunks]
    return np.concatenate(parts or [np.empty(0, kind)]).astype(np.int64, copy=False)


def _numbers(array: pa.Array, kind: type[_NumberT]) -> NDArray[_NumberT]:
    """An array without gaps as it lies. Its own `to_numpy` imports pandas where it is installed, which
    takes a quarter of a second and 75 MB."""
    content = array.buffers()[1] or b""
    return np.frombuffer(content, kind)[array.offset : array.offset + len(array)]


def _batch(batch: pa.RecordBatch) -> _Batch:
    ids, spans, contents = (
        batch.column(name) for name in ("input_ids", "trained_spans", "content")
    )
    return _Batch(
        ids=_numbers(ids.values, np.int32),
        id_offsets=_numbers(ids.offsets, np.int32),
        spans=_numbers(spans.values, np.int32),
        span_offsets=_numbers(spans.offsets, np.int32),
        contents=np.frombuffer(contents.buffers()[2] or b"", dtype=np.uint8)[
            : len(contents) * _DIGEST_BYTES
        ],
    )


def _trained_within(batch: _Batch, longest: int) -> Integers:
    starts, ends = np.minimum(batch.spans[0::2], longest), np.minimum(batch.spans[1::2], longest)
    before = np.concatenate(([0], np.cumsum(ends - starts, dtype=np.int64)))
    borders = batch.span_offsets // 2
    return before[borders[1:]] - before[borders[:-1]]


def _flat(lists: Iterator[Sequence[int]], total: int) -> NDArray[np.int32]:
    return np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=total)


def _array(kind: pa.DataType, *buffers: NDArray[np.generic] | bytes) -> pa.Array:
    """The last of the buffers as an array; those before it tell where its items begin.

    `pa.array` would ask whether it is given something of pandas', which it imports for that.
    """
    wrapped = [pa.py_buffer(each) for each in buffers]
    return pa.Array.from_buffers(kind, len(buffers[0]) - len(buffers) + 1, [None, *wrapped])


def _lists(values: NDArray[np.int32], lengths: Integers) -> pa.Array:
    offsets = _array(pa.int32(), _offsets(lengths))
    return pa.ListArray.from_arrays(offsets, _array(pa.int32(), values))


def _digests(contents: bytes, count: int) -> pa.Array:
    lengths = np.full(count, _DIGEST_BYTES, dtype=np.int64)
    return _array(pa.binary(), _offsets(lengths), contents)


def _offsets(lengths: Integers) -> NDArray[np.int32]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)


def _spans(
    trained: NDArray[np.bool_], ends: Integers, lengths: Integers
) -> tuple[NDArray[np.int32], Integers]:
    """Starts and ends, in turns and counted from each row's beginning, of all stretches that bear
    loss; and how many numbers that makes for each row."""
    before, after = np.zeros_like(trained), np.zeros_like(trained)
    before[1:], after[:-1] = trained[:-1], trained[1:]
    filled = ends[lengths > 0]
    before[(ends - lengths)[lengths > 0]] = False
    after[filled - 1] = False
    starts, stops = np.flatnonzero(trained & ~before), np.flatnonzero(trained & ~after) + 1
    owners = np.searchsorted(ends, starts, side="right")
    spans = np.stack((starts, stops), axis=1) - (ends - lengths)[owners, None]
    return spans.astype(np.int32).reshape(-1), 2 * np.bincount(owners, minlength=len(ends))


def _sums(trained: NDArray[np.bool_], lengths: Integers) -> Integers:
    before = np.concatenate(([0], np.cumsum(trained, dtype=np.int64)))
    borders = np.concatenate(([0], np.cumsum(lengths)))
    return before[borders[1:]] - before[borders[:-1]]
