"""A dataset made of another: what stays of its records, and behind them those that are added."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from training.config import DataType
from training.data.containers.rows import Places, Rows, json_row
from training.data.derivation import Removal, changes
from training.data.formats.conversion import Converter
from training.data.formats.mapping import Mapping
from training.data.ingest.errors import NothingChanged, NothingLeft, RecordOutdated
from training.data.ingest.mapping import CANONICAL, mapped
from training.data.ingest.removing import removed
from training.data.ingest.source_file import Opened, SourceFile, opened
from training.data.ingest.spec import (
    RECORDS,
    DerivedSource,
    FileSource,
    IngestResult,
    IngestSpec,
    LinesSource,
)
from training.data.ingest.stored_lines import StoredLines
from training.data.ingest.storing import left_out, write
from training.data.line_files import remove_lines
from training.data.records import Record, Rejected, parse
from training.errors import DatasetDamaged, RecordError
from training.progress.telling import Teller

__all__ = ["derive"]

Records: TypeAlias = Iterator[tuple[int, Record] | Rejected]


@dataclass(frozen=True)
class _Added:
    """What is to be added, read as it is asked for."""

    records: Records
    mapping: Mapping
    left_out: Callable[[], dict[str, int]]
    read_bytes: Callable[[], float]
    size_bytes: int = 0
    file: Opened | None = None


def derive(
    spec: IngestSpec, source: DerivedSource, dataset_dir: Path, teller: Teller
) -> IngestResult:
    """Write what stays, then what is added.

    Raises `DatasetGone`, `DatasetDamaged`, `RecordOutdated`, `RecordsRefused`,
    `TokensNotKept`, `NothingChanged`, `NothingLeft`, and what an ingest raises; it then leaves no records.
    """
    data_type = spec.data_type
    assert data_type is not None  # noqa: S101 - the parent's
    stored = StoredLines(Path(source.path))
    gone, removals = removed(source, data_type, stored, scratch=dataset_dir, teller=teller)
    _refuse_early(source, removals)
    begun, read = teller.percent, stored.read_bytes
    with _added(spec, source, data_type) as added:
        total = max(1, stored.size_bytes + added.size_bytes)

        def percent() -> float:
            done = stored.read_bytes - read + added.read_bytes()
            return begun + (100 - begun) * done / total

        found = write(
            chain(_kept(source, stored, gone, data_type), added.records),
            added.mapping,
            dataset_dir,
            on_invalid=spec.on_invalid,
            came=lambda: teller.came(percent),
        )
        return _told(found, added, _Parent(source, gone, removals), dataset_dir)


@dataclass(frozen=True)
class _Parent:
    source: DerivedSource
    gone: bytearray
    removals: tuple[Removal, ...]


def _refuse_early(source: DerivedSource, removals: tuple[Removal, ...]) -> None:
    if source.added is not None:
        return
    if not removals:
        raise NothingChanged
    if sum(each.count for each in removals) == source.record_count:
        raise NothingLeft(source.record_count)


def _kept(
    source: DerivedSource, stored: StoredLines, gone: bytearray, data_type: DataType
) -> Iterator[tuple[int, Record]]:
    line = 0
    for line, content in stored:
        if line <= source.record_count and gone[line]:
            continue
        try:
            yield line, parse(data_type, json.loads(content))
        except RecordError as error:
            raise RecordOutdated(line, error.message) from error
        except ValueError as error:
            raise DatasetDamaged(Path(source.path), f"line {line} is no JSON") from error
    if line != source.record_count:
        reason = f"it has {line} lines instead of {source.record_count}"
        raise DatasetDamaged(Path(source.path), reason)


@contextmanager
def _added(spec: IngestSpec, source: DerivedSource, data_type: DataType) -> Iterator[_Added]:
    match source.added:
        case None:
            yield _Added(iter(()), CANONICAL[data_type], dict, float)
        case LinesSource(path=path):
            lines = StoredLines(Path(path))
            rows = (json_row(number, content) for number, content in lines)
            yield _mapped(
                spec,
                rows,
                read_bytes=lambda: lines.read_bytes,
                size_bytes=lines.size_bytes,
            )
        case FileSource(path=path):
            with SourceFile(Path(path)) as file:
                contents = opened(file, source.added)
                yield _mapped(
                    spec,
                    contents.rows,
                    read_bytes=lambda: file.percent / 100 * file.size_bytes,
                    size_bytes=file.size_bytes,
                    file=contents,
                )


def _mapped(
    spec: IngestSpec,
    rows: Rows,
    *,
    read_bytes: Callable[[], float],
    size_bytes: int,
    file: Opened | None = None,
) -> _Added:
    """Rows of any format that makes the parent's type of them."""
    mapping, every = mapped(rows, spec.mapping, spec.data_type)
    converter = Converter(mapping)
    records = converter.records(every, file.places if file else Places())
    return _Added(records, mapping, lambda: left_out(converter), read_bytes, size_bytes, file)


def _told(found: IngestResult, added: _Added, parent: _Parent, dataset_dir: Path) -> IngestResult:
    """What was stored, with what sets it apart from its parent."""
    source = parent.source
    kept = source.record_count - parent.gone.count(1)
    new = found.statistics.records - kept
    refused, tokens = found.refused, source.removal.tokens
    if refused is None and not new and not parent.removals:
        remove_lines(dataset_dir / RECORDS)
        refused = NothingChanged().failure()
    return found.model_copy(
        update={
            "container": added.file and added.file.container,
            "compression": added.file and added.file.compression,
            "left_out": added.left_out(),
            "refused": refused,
            "changes": None
            if refused
            else changes(
                *(parent.gone, parent.removals, new, source.added_dataset), examined_tokens=tokens
            ),
        }
    )
