"""What records a canonical file holds, as a sorted file of digests beside it: by it two datasets are
compared, and duplicates found, without reading a record.

The file: a mark, how many entries there are for each first byte of a digest, and the entries in
order. An entry is a record's digest, how many equal records lie before it, and its line. Integers
are big-endian, so that entries order as bytes do.
"""

import struct
from array import array
from collections.abc import Iterator
from hashlib import sha256
from itertools import compress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

__all__ = ["Compared", "compare", "mark_repeated", "write"]

_MARK: Final = b"digests1"
_COUNTS: Final = struct.Struct(">256I")
_DIGEST: Final = 16
_FOUND: Final = struct.Struct(f">{_DIGEST}sI")
_ENTRY: Final = struct.Struct(f">{_DIGEST + 4}sI")
"""Unpacked, the first two parts of an entry are one: no two in a file are equal."""


class Compared(NamedTuple):
    """Lines of two files, each in order. Of equal records as many are shared as both have."""

    only_in_a: "array[int]"
    only_in_b: "array[int]"
    in_both: "array[int]"
    """As they stand in a."""


def write(records: Path, target: BinaryIO) -> None:
    """Write the digests of a canonical file's records. A million take some 30 MB meanwhile."""
    buckets = [bytearray() for _ in range(256)]
    with records.open("rb") as file:
        for line, content in enumerate(file, 1):
            digest = sha256(content).digest()[:_DIGEST]
            buckets[digest[0]] += _FOUND.pack(digest, line)
    target.write(_MARK)
    target.write(_COUNTS.pack(*(len(bucket) // _FOUND.size for bucket in buckets)))
    for bucket in buckets:
        target.write(_counted(sorted(_FOUND.iter_unpack(bucket))))


def mark_repeated(digests: Path, gone: bytearray) -> None:
    """Mark, by its line, every record that is equal to an earlier one that is not marked."""
    for bucket in _buckets(digests):
        former = b""
        for key, line in _ENTRY.iter_unpack(bucket):
            if gone[line]:
                continue
            if key[:_DIGEST] == former:
                gone[line] = 1
            former = key[:_DIGEST]


def compare(a: Path, b: Path) -> Compared:
    """What two files have in common, by their digests. Of a million records it keeps the lines."""
    only_in_a, only_in_b, records = array("I"), array("I"), 0
    for here, there in zip(_buckets(a), _buckets(b), strict=True):
        lines, others = dict(_ENTRY.iter_unpack(here)), dict(_ENTRY.iter_unpack(there))
        records += len(lines)
        only_in_a.extend(map(lines.__getitem__, lines.keys() - others.keys()))
        only_in_b.extend(map(others.__getitem__, others.keys() - lines.keys()))
    shared = bytearray(b"\0" + b"\1" * records)
    for line in only_in_a:
        shared[line] = 0
    return Compared(
        array("I", sorted(only_in_a)),
        array("I", sorted(only_in_b)),
        array("I", compress(range(records + 1), shared)),
    )


def _counted(found: list[tuple[bytes, int]]) -> bytes:
    """Entries of sorted digests and lines, each with how many equal digests lie before it."""
    former, before = b"", 0
    entries = bytearray()
    for digest, line in found:
        before = before + 1 if digest == former else 0
        former = digest
        entries += _ENTRY.pack(digest + before.to_bytes(4), line)
    return bytes(entries)


def _buckets(path: Path) -> Iterator[bytes]:
    """The entries of a file of digests by their first byte, all 256."""
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            raise ValueError(f"{path} is no file of digests")
        for count in _COUNTS.unpack(file.read(_COUNTS.size)):
            yield file.read(count * _ENTRY.size)
