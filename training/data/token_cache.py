"""A dataset's rows, rendered once for whoever renders them alike, and kept beside the records.

    tokens/KEY/lock     held by whoever renders; it dies with its process
    tokens/KEY/rows/    the token file and its manifest, whole or not there

No torch here: datasets are tokenised in processes that have none, too.
"""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from training.config import DataType
from training.data.encoding import given_threads
from training.data.records import Record, parse
from training.data.rendering import Renderer
from training.data.shared_rendering import Batch, NumberedLines, in_order
from training.data.token_file import Columns, Integers, TokenWriter, columns_of, token_writer
from training.errors import DatasetDamaged, RecordError
from training.files import damage, disk_full_named, remove_leftovers, sha256_of, whole_folder
from training.locking import folder_lock

__all__ = [
    "CachedRows",
    "RecordFile",
    "Rendering",
    "count_records",
    "records_at",
    "stored_rows",
    "token_rows",
]

_FOLDER: Final = "tokens"
_ROWS: Final = "rows"
_FILE: Final = "rows.arrow"
_BATCH_RECORDS: Final = 128
_BATCH_BYTES: Final = 64 * 1024
"""Of records as they lie in their file, that are rendered between two looks at whether to stop; a longer
one is rendered by itself. A tokenizer needs some hundred bytes for each of these while it works."""
_WRITTEN_TOKENS: Final = 2**16
"""Gathered before they are written: a file of many small parts takes long to open."""
_LINES_A_LOOK: Final = 50_000
"""Where lines are passed over, so many between two looks at whether to stop."""
_WAIT_SECONDS: Final = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class RecordFile:
    """Canonical records in a file, all of them or some."""

    path: Path
    data_type: DataType
    sha256: str | None = None
    """Of the whole file, where somebody knows it."""
    places: Integers | None = None
    """Of the records that are wanted, in order, from 0; None for all."""


class Rendering(NamedTuple):
    """How far rendering has come."""

    records: int
    share: float
    """Of the file, what was read."""


class CachedRows(NamedTuple):
    """Where rows lie, and how they came there."""

    path: Path
    """The token file."""
    has_all: bool
    """Whether it has a row for every record of the dataset, or for those alone that were wanted."""
    reused: bool
    """Whether it was there before."""
    damage: str | None
    """What was wrong with one that was there, and is no more."""


_BEGUN: Final = Rendering(0, 0.0)


def token_rows(
    records: RecordFile,
    renderer: Renderer,
    folders: tuple[Path, ...],
    *,
    should_stop: Callable[[], bool],
    advanced: Callable[[Rendering], None],
    decided: Callable[
        [Callable[[], CachedRows | Rendering]], CachedRows | Rendering
    ] = lambda decide: decide(),
) -> CachedRows | None:
    """The dataset's rows in the first of `folders` that has them, else in the first that can be
    written to, rendered now; None where told to stop.

    Of rows that some records alone were rendered to, another run is served only if it wants the same.
    `advanced` is told how far that is, several times a second. Of several processes
    that call this together `decided` lets one of them do the work, bit by bit.
    Raises what `Renderer.rows` raises, `DatasetDamaged` and `DiskFull`.
    """
    with closing(_found_or_rendered(records, renderer, folders)) as work:
        while not isinstance(state := decided(lambda: next(work)), CachedRows):
            advanced(state)
            if should_stop():
                return None
    return state


def stored_rows(records: RecordFile, renderer: Renderer, *, sha256: str) -> CachedRows | None:
    """The rows that lie beside the records already, by their sizes whole; None where there are none."""
    keys = [_key(sha256, renderer, each) for each in (None, records.places)]
    for key in dict.fromkeys(keys):
        rows = records.path.parent / _FOLDER / key / _ROWS
        if rows.is_dir() and damage(rows, thorough=False) is None:
            return CachedRows(rows / _FILE, key == keys[0], reused=True, damage=None)
    return None


def count_records(path: Path) -> int:
    """How many records a file has, one a line. Raises `DatasetDamaged`."""
    return sum(1 for _ in _lines(path))


def records_at(records: RecordFile, lines: Integers) -> Iterator[Record]:
    """The records at these lines, which ascend. Raises `DatasetDamaged`."""
    wanted = iter(lines.tolist())
    following = next(wanted, -1)
    for place, content in _lines(records.path):
        if place + 1 == following:
            yield _record(records, following, content)
            following = next(wanted, -1)


def _found_or_rendered(
    records: RecordFile, renderer: Renderer, folders: tuple[Path, ...]
) -> Generator[CachedRows | Rendering, None, None]:
    """The number of records rendered so far, again and again, and at last where their rows lie."""
    sha256 = records.sha256 or _sha256_of(records.path)
    yield _BEGUN
    whole = _key(sha256, renderer, None)
    own = whole if records.places is None else _key(sha256, renderer, records.places)
    damaged = None
    for key in dict.fromkeys((whole, own)):
        for folder in folders:
            rows = folder / _FOLDER / key / _ROWS
            if not rows.is_dir():
                continue
            reason = damage(rows)
            if reason is None:
                yield CachedRows(rows / _FILE, key == whole, reused=True, damage=damaged)
                return
            damaged = reason
            yield _BEGUN
    place = _writable(own, folders)
    yield from _rendered_once(records, renderer, place, sha256=sha256, damaged=damaged)


def _rendered_once(
    records: RecordFile, renderer: Renderer, place: Path, *, sha256: str, damaged: str | None
) -> Iterator[CachedRows | Rendering]:
    """As above, where another process may be rendering the same at this moment."""
    rows = place / _ROWS
    has_all = records.places is None
    while True:
        with folder_lock(place, wait_seconds=0) as acquired:
            if acquired and rows.is_dir() and damage(rows) is None:
                yield CachedRows(rows / _FILE, has_all, reused=True, damage=damaged)
                return
            if acquired:
                remove_leftovers(place)
                with whole_folder(rows) as folder, token_writer(folder / _FILE) as writer:
                    yield from _rendered(records, renderer, writer, sha256=sha256)
                yield CachedRows(rows / _FILE, has_all, reused=False, damage=damaged)
                return
        time.sleep(_WAIT_SECONDS)
        yield _BEGUN


def _rendered(
    records: RecordFile, renderer: Renderer, writer: TokenWriter, *, sha256: str
) -> Iterator[Rendering]:
    """Render batch by batch, and tell how far that is after each."""
    size = max(1, records.path.stat().st_size)
    done = 0
    parts: list[Columns] = []
    read = hashlib.sha256()
    work = partial(_columns, records, renderer)
    with (
        given_threads() as threads,
        closing(in_order(_batches(records, read), work, processes=threads)) as made,
    ):
        for batch, columns in made:
            parts.append(columns)
            done += len(batch.lines)
            if sum(len(each.ids) for each in parts) >= _WRITTEN_TOKENS:
                writer.write(parts)
                parts = []
            yield Rendering(done, batch.position / size)
    if read.hexdigest() != sha256:
        raise DatasetDamaged(records.path, "it has another checksum than when it was stored")
    writer.write(parts)


def _columns(records: RecordFile, renderer: Renderer, lines: NumberedLines) -> Columns:
    """Records as they will lie in the token file. Their digests are those of their lines, which are
    canonical."""
    parsed = [(line, _record(records, line, content)) for line, content in lines]
    contents = [hashlib.sha256(content).digest() for _, content in lines]
    return columns_of(renderer.rows(parsed, contents))


def _batches(records: RecordFile, read: "hashlib._Hash") -> Iterator[Batch]:
    """The wanted records, some at a time, or none where many lines are passed over. What is read goes
    into `read`."""
    wanted = None if records.places is None else iter(records.places.tolist())
    following = None if wanted is None else next(wanted, -1)
    lines: NumberedLines = []
    size = position = 0
    for place, content in _lines(records.path):
        if following is None or place == following:
            if size and (len(lines) == _BATCH_RECORDS or size + len(content) > _BATCH_BYTES):
                yield Batch(lines, size, position)
                lines, size = [], 0
            lines.append((place + 1, content))
            size += len(content)
            following = None if wanted is None else next(wanted, -1)
        elif place % _LINES_A_LOOK == 0:
            yield Batch([], 0, position)
        read.update(content)
        position += len(content)
    yield Batch(lines, size, position)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file)
    except OSError as error:
        raise DatasetDamaged(path, str(error.strerror)) from error


def _record(records: RecordFile, line: int, content: bytes) -> Record:
    try:
        return parse(records.data_type, json.loads(content))
    except (ValueError, RecursionError, RecordError) as error:
        raise DatasetDamaged(records.path, f"line {line}: {error}".rstrip(".")) from error


def _key(sha256: str, renderer: Renderer, places: Integers | None) -> str:
    """What decides every token and label, in a name for a folder."""
    digest = hashlib.sha256(f"{sha256}:{renderer.fingerprint}".encode())
    if places is not None:
        digest.update(places.tobytes())
    return digest.hexdigest()[:32]


def _writable(key: str, folders: Sequence[Path]) -> Path:
    """The key's folder in the first of the folders that takes it; the last has to."""
    for folder in folders[:-1]:
        place = folder / _FOLDER / key
        with suppress(OSError):
            return _made(place)
    return _made(folders[-1] / _FOLDER / key)


def _made(place: Path) -> Path:
    with disk_full_named(place):
        place.parent.mkdir(exist_ok=True)  # no more: a dataset that was deleted is not to come back
        place.mkdir(exist_ok=True)
        with folder_lock(place, wait_seconds=0):
            return place


def _sha256_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DatasetDamaged(path, str(error.strerror)) from error
