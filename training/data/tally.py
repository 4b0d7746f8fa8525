"""Statistics of records that are seen once, in memory that does not grow with them."""

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Final

from training.config import DataType
from training.data.conversations import trained
from training.data.records import TRAINED_FIELDS, Record, Statistics, said, texts

__all__ = ["PERCENTILES", "Tally", "tallying"]

PERCENTILES: Final = (5, 25, 50, 75, 95, 100)


class Tally:
    """Counts what it is given; lengths are in characters of content."""

    def __init__(self, data_type: DataType, scratch: Path) -> None:
        self._data_type = data_type
        self._trained_field = TRAINED_FIELDS.get(data_type)
        self._lengths: Counter[int] = Counter()
        self._distinct = _Distinct(scratch)
        self._turns = 0
        self._trained = 0

    def add(self, record: Record, line: bytes) -> None:
        """Count a record and its canonical line."""
        self._distinct.add(line)
        if self._trained_field is None:
            self._add_chat(record)
            return
        self._lengths[sum([len(value) for value in record.values() if isinstance(value, str)])] += 1
        self._trained += len(str(record[self._trained_field]))

    def statistics(self) -> Statistics:
        """What was counted."""
        records = self._lengths.total()
        return Statistics(
            records=records,
            characters=sum(length * count for length, count in self._lengths.items()),
            duplicates=records - self._distinct.count(),
            turns=self._turns if self._data_type is DataType.CHAT else None,
            length_percentiles=_percentiles(self._lengths),
            trained_characters=self._trained,
        )

    def _add_chat(self, record: Record) -> None:
        self._lengths[sum(map(len, texts(record)))] += 1
        messages = record["messages"]
        for message in messages if isinstance(messages, list) else []:
            self._turns += 1
            if trained(message):
                self._trained += sum(map(len, said(message)))


@contextmanager
def tallying(data_type: DataType, folder: Path | None = None) -> Iterator[Tally]:
    """A tally with room on the disk, in `folder` where one is given, for what memory must not hold."""
    with tempfile.TemporaryDirectory(prefix=".tally.", suffix=".partial", dir=folder) as scratch:
        yield Tally(data_type, Path(scratch))


def _percentiles(lengths: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """By nearest rank; none of nothing."""
    if not lengths:
        return ()
    ordered = sorted(lengths)
    reached = list(accumulate(lengths[length] for length in ordered))
    ranks = [(percent, max(1, ceil(percent / 100 * reached[-1]))) for percent in PERCENTILES]
    return tuple(
        (percent, next(length for length, to in zip(ordered, reached, strict=True) if to >= rank))
        for percent, rank in ranks
    )


class _Distinct:
    """How many of the lines it was given are distinct, told by 64-bit hashes.

    Among a billion lines the chance that two that differ count as one is three in a hundred. The
    hashes lie in buckets by their last byte, which go to the disk whenever memory holds too many, and
    are compared one bucket at a time.
    """

    HELD: Final = 1024 * 1024
    """Hashes in memory, 8 bytes each."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._buckets = [array("q") for _ in range(256)]
        self._held = 0

    def add(self, line: bytes) -> None:
        # Python's own: SipHash under a key drawn for this process, over ten times as fast as any other
        key = hash(line)
        self._buckets[key & 255].append(key)
        self._held += 1
        if self._held >= self.HELD:
            self._put_away()

    def count(self) -> int:
        return sum(len(set(self._whole(number))) for number in range(256))

    def _put_away(self) -> None:
        for number, bucket in enumerate(self._buckets):
            with self._file(number).open("ab") as file:
                bucket.tofile(file)
            del bucket[:]
        self._held = 0

    def _whole(self, number: int) -> "array[int]":
        whole = array("q")
        if self._file(number).exists():
            whole.frombytes(self._file(number).read_bytes())
        whole.extend(self._buckets[number])
        return whole

    def _file(self, number: int) -> Path:
        return self._scratch / f"{number:02x}"
