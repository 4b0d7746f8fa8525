"""What a file is, found by its content, and its rows."""

import json
import re
from collections.abc import Callable
from enum import StrEnum
from typing import BinaryIO, Final, NamedTuple

from training.data.containers.csv_rows import csv_rows
from training.data.containers.json_array import array_rows
from training.data.containers.jsonl import jsonl_rows
from training.data.containers.limits import Limits
from training.data.containers.parquet import MAGIC, parquet_rows
from training.data.containers.rows import Rows
from training.data.containers.source import Source, open_source
from training.errors import SourceUnreadable

__all__ = ["Container", "Contents", "open_contents"]


class Container(StrEnum):
    """How a file holds its rows; text may be compressed by gzip or zstd."""

    JSONL = "JSONL"
    JSON = "JSON"
    CSV = "CSV"
    PARQUET = "PARQUET"


class Contents(NamedTuple):
    """An open file: what it is, and its rows, which are read as they are asked for."""

    container: Container
    rows: Rows


def open_contents(file: BinaryIO, limits: Limits | None = None) -> Contents:
    """The rows of a seekable file at its beginning, which stays open as long as they are read.

    Memory is bounded by a few times `Limits.row_bytes`, whatever the file's size. A row that
    cannot be read is given as `Rejected` and the rest is read on. `SourceUnreadable`, here or
    with the first row, where the file is none of the known ones.
    """
    limits = limits or Limits()
    start = file.read(len(MAGIC))
    file.seek(-len(start), 1)
    if start == MAGIC:
        return Contents(Container.PARQUET, parquet_rows(file, limits))
    source = open_source(file, limits)
    container = _text_container(source)
    return Contents(container, _READERS[container](source, limits))


_READERS: Final[dict[Container, Callable[[Source, Limits], Rows]]] = {
    Container.JSONL: jsonl_rows,
    Container.JSON: array_rows,
    Container.CSV: csv_rows,
}

_SAMPLED_LINES: Final = 20

_TURNS: Final = frozenset({"messages", "conversations", "conversation", "history", "tools"})
"""Lists that are a row's own; any other list of objects in a lone object is the rows."""

_BEGINS_ARRAY: Final = re.compile(r'\{\s*"([^"\\]*)"\s*:\s*\[\s*\{')


def _text_container(source: Source) -> Container:
    head = source.stream.peek(1).decode(errors="replace").lstrip()
    if not head:
        code, reason = source.broken or ("EMPTY_FILE", "It is empty.")
        reason = reason[0].lower() + reason[1:].rstrip(".")
        raise SourceUnreadable(code, reason, "Send a file with at least one row.")
    first, *others = [line for line in head.split("\n")[:_SAMPLED_LINES] if line.strip()]
    if first.startswith("["):
        return Container.JSON
    if first.startswith("{"):
        return _object_container(first, others)
    if any(line.startswith("{") and _parsed(line) is not None for line in others):
        return Container.JSONL
    return Container.CSV


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
