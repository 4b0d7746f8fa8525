"""The mapping of a source's rows: as it was given, or found in the first of them."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from training.config import DataType
from training.data.containers.rows import RawRow
from training.data.formats.detection import SAMPLED_ROWS, detect
from training.data.formats.mapping import Mapping
from training.data.formats.shapes import Format, Part
from training.data.records import Rejected
from training.errors import SourceUnreadable

__all__ = ["CANONICAL", "first_rows", "mapped"]

SAMPLED_BYTES: Final = 8 * 1024 * 1024
_VALUE_BYTES: Final = 64
"""About what a value takes beside its text."""

CANONICAL: Final = {
    DataType.TEXT: Mapping(format=Format.TEXT, columns={Part.TEXT: "text"}),
    DataType.CODE: Mapping(
        format=Format.CODE, columns={Part.CODE: "code", Part.LANGUAGE: "language"}
    ),
    DataType.QA: Mapping(
        format=Format.QUESTION_ANSWER,
        columns={Part.QUESTION: "question", Part.ANSWER: "answer", Part.SYSTEM: "system"},
    ),
    DataType.COMPLETION: Mapping(
        format=Format.PROMPT_COMPLETION,
        columns={Part.PROMPT: "prompt", Part.COMPLETION: "completion"},
    ),
    DataType.CHAT: Mapping(
        format=Format.MESSAGES, columns={Part.MESSAGES: "messages", Part.TOOLS: "tools"}
    ),
}
"""The mapping that canonical records of each type have."""


def mapped(
    rows: Iterator[RawRow | Rejected], given: Mapping | None, data_type: DataType | None
) -> tuple[Mapping, Iterator[RawRow | Rejected]]:
    """The mapping, and all the rows again.

    `SourceUnreadable` where none can be told, or it is of another type than `data_type`.
    """
    sample = list(first_rows(rows))
    mapping = given or detect(sample)
    if data_type not in (None, mapping.data_type):
        raise SourceUnreadable(
            "DATA_TYPE_DIFFERS",
            f"its rows are {mapping.format}, which makes {mapping.data_type} of them, "
            f"not {data_type}",
            f"Leave the type out, or send a mapping whose format makes {data_type}.",
        )
    return mapping, chain(sample, rows)


def first_rows(rows: Iterator[RawRow | Rejected]) -> Iterator[RawRow | Rejected]:
    """As many as detection looks at, or as bounded memory allows; the others stay to be read."""
    size = 0
    for count, row in enumerate(rows, 1):
        yield row
        size += _size(row.value) if isinstance(row, RawRow) else _VALUE_BYTES
        if count == SAMPLED_ROWS or size > SAMPLED_BYTES:
            return


def _size(value: object) -> int:
    """About what a value takes in memory, in bytes."""
    if isinstance(value, str | bytes):
        return _VALUE_BYTES + len(value)
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = chain(value, value.values())
    elif isinstance(value, list | tuple):
        inner = value
    return _VALUE_BYTES + sum(map(_size, inner))
