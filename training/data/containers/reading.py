"""What a file is, found by its content, and its rows."""

import json
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import BinaryIO, Final, NamedTuple

from training.data.containers.archive import Entry, archive_rows
from training.data.containers.csv_rows import csv_rows
from training.data.containers.json_array import array_rows
from training.data.containers.jsonl import jsonl_rows
from training.data.containers.languages import Kind, kind_of, language_of
from training.data.containers.limits import Limits
from training.data.containers.parquet import MAGIC, parquet_rows
from training.data.containers.prose import (
    Division,
    not_text,
    refuse_division,
    source_rows,
    text_rows,
)
from training.data.containers.rows import Places, Rows
from training.data.containers.source import Source, open_source
from training.data.containers.tar_entries import is_tar, tar_entries
from training.data.containers.zip_entries import ZIP_MAGIC, zip_archive
from training.errors import SourceUnreadable

__all__ = ["Container", "Contents", "open_contents"]


class Container(StrEnum):
    """How a file holds its rows; all but PARQUET and ZIP may be compressed by gzip or zstd."""

    JSONL = "JSONL"
    JSON = "JSON"
    CSV = "CSV"
    PARQUET = "PARQUET"
    TEXT = "TEXT"
    """Plain text, by its name."""
    CODE = "CODE"
    """One source file, by its name."""
    ZIP = "ZIP"
    """An archive of texts or source files, as TAR is."""
    TAR = "TAR"


class Contents(NamedTuple):
    """An open file: what it is, and its rows, which are read as they are asked for."""

    container: Container
    rows: Rows
    places: Places
    """Where rows lie whose lines are numbered through several files, as far as they were read."""


def open_contents(
    file: BinaryIO,
    limits: Limits | None = None,
    *,
    name: str = "",
    division: Division = Division.PASSAGES,
) -> Contents:
    """The rows of a seekable file at its beginning, which stays open as long as they are read.

    What the file is its content says; only of plain text and source code the `name` must, by its
    ending. Memory is bounded by a few times `Limits.row_bytes`, whatever the file's size. A row that
    cannot be read is given as `Rejected` and the rest is read on. `SourceUnreadable`, here or
    with the first row, where the file is none of the known ones, or none that can be cut so.
    """
    limits = limits or Limits()
    places = Places()
    start = file.read(len(MAGIC))
    file.seek(-len(start), 1)
    if start == MAGIC:
        refuse_division(division, _HAS_ROWS.format(Container.PARQUET))
        return Contents(Container.PARQUET, parquet_rows(file, limits), places)
    if start in ZIP_MAGIC:
        rows = archive_rows(zip_archive(file, limits), limits, division, places)
        return Contents(Container.ZIP, rows, places)
    source = open_source(file, limits)
    if is_tar(source.stream.peek(1)):
        rows = archive_rows(partial(_tar, file, limits), limits, division, places)
        return Contents(Container.TAR, rows, places)
    container = _text_container(source, name)
    if container is Container.TEXT:
        return Contents(container, text_rows(source, limits, division), places)
    if container is Container.CODE:
        refuse_division(division, "this is source code, a record a file", whole_files=True)
        language = language_of(_unpacked(name))
        return Contents(container, source_rows(source, limits, language=language), places)
    refuse_division(division, _HAS_ROWS.format(container))
    return Contents(container, _READERS[container](source, limits), places)


_HAS_ROWS: Final = "this is {}, which has rows of its own"


def _tar(file: BinaryIO, limits: Limits) -> Iterator[Entry]:
    file.seek(0)
    return tar_entries(open_source(file, limits))


_READERS: Final[dict[Container, Callable[[Source, Limits], Rows]]] = {
    Container.JSONL: jsonl_rows,
    Container.JSON: array_rows,
    Container.CSV: csv_rows,
}

_SAMPLED_LINES: Final = 20

_TURNS: Final = frozenset({"messages", "conversations", "conversation", "history", "tools"})
"""Lists that are a row's own; any other list of objects in a lone object is the rows."""

_BEGINS_ROWS: Final = re.compile(r"\[\s*(?:\{|\Z)")
_BEGINS_ARRAY: Final = re.compile(r'\{\s*"([^"\\]*)"\s*:\s*\[\s*\{')


def _text_container(source: Source, name: str) -> Container:
    head_bytes = source.stream.peek(1)
    head = head_bytes.decode(errors="replace").lstrip()
    if not head:
        code, reason = source.broken or ("EMPTY_FILE", "It is empty.")
        reason = reason[0].lower() + reason[1:].rstrip(".")
        raise SourceUnreadable(code, reason, "Send a file with at least one row.")
    first, *others = [line for line in head.split("\n")[:_SAMPLED_LINES] if line.strip()]
    if named := _named(name, head_bytes, first):
        return named
    if first.startswith("["):
        return Container.JSON
    if first.startswith("{"):
        return _object_container(first, others)
    if any(line.startswith("{") and _parsed(line) is not None for line in others):
        return Container.JSONL
    return Container.CSV


def _named(name: str, head: bytes, first_line: str) -> Container | None:
    """What a text is by its name, where its content says nothing else."""
    path = _unpacked(name)
    kind = kind_of(path)
    if kind not in (Kind.PROSE, Kind.SOURCE) or language_of(path) == "JSON":
        return None
    if reason := not_text(head):
        raise SourceUnreadable("NOT_TEXT", reason, "Save the file as text in UTF-8.")
    if kind is Kind.PROSE and (_parsed(first_line) or _BEGINS_ROWS.match(first_line)):
        return None  # records in a file that is called text
    return Container.TEXT if kind is Kind.PROSE else Container.CODE


def _unpacked(name: str) -> str:
    """The name without the ending that tells of compression."""
    return name.removesuffix(".gz").removesuffix(".zst")


def _object_container(first: str, others: list[str]) -> Container:
    """JSONL, or JSON where one object goes over several lines or holds the rows in an array."""
    row = _parsed(first)
    begins = _BEGINS_ARRAY.match(first)
    holds_rows = begins is not None and begins[1] not in _TURNS
    if row is None and others:
        opens_array = first.count("[") > first.count("]") and (holds_rows or not begins)
        return Container.JSON if opens_array or _parsed(others[0]) is None else Container.JSONL
    if row is None:
        return Container.JSON if holds_rows else Container.JSONL
    if others:
        return Container.JSONL
    arrays = [name for name, value in row.items() if _is_rows(value)]
    return Container.JSON if len(arrays) == 1 and arrays[0] not in _TURNS else Container.JSONL


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and isinstance(value[0], dict)


def _parsed(line: str) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
