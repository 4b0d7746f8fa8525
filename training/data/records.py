"""The five data types: the canonical shape of each record, its validation, and what it holds.

A record of each type, after `parse`:

    TEXT        {"text"}
    CODE        {"code", "language"?}
    QA          {"question", "answer", "system"?}
    COMPLETION  {"prompt", "completion"}
    CHAT        {"messages": [{"role", "content"}, ...], "tools"?}; more in `conversations`
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from training.config import DataType, Frozen
from training.data.conversations import canonical_messages, canonical_tools
from training.data.fields import as_object, check_keys, excerpt, text
from training.errors import RecordError

Record: TypeAlias = dict[str, object]


class Rejected(Frozen):
    """A record that was not taken, with enough of it to be recognised. Lines count from 1."""

    line: int
    code: str
    message: str
    excerpt: str


class Validated(NamedTuple):
    """Every row that was offered, in order, on one side or the other."""

    records: list[tuple[int, Record]]
    rejected: list[Rejected]


class Statistics(Frozen):
    """What a dataset holds. Lengths are in characters of content, keys not counted."""

    records: int
    characters: int
    duplicates: int
    """Records equal to an earlier one."""
    turns: int | None
    """Messages over all conversations; only CHAT has them."""
    length_percentiles: tuple[tuple[int, int], ...]
    """(percentile, characters), by nearest rank; empty where there are no records."""
    trained_characters: int | None = None
    """Those of the parts that bear loss; None for a dataset stored before this was counted."""


def parse(data_type: DataType, raw: object) -> Record:
    """The canonical form of one record. Raises `RecordError` with a code and the field's name."""
    fields = as_object(raw)
    if data_type is DataType.CHAT:
        check_keys(fields, required=("messages",), optional=("tools",))
        tools = fields.get("tools") or None  # none may be written as an empty list
        chat: Record = {"messages": canonical_messages(fields["messages"])}
        return chat if tools is None else chat | {"tools": canonical_tools(tools)}
    required, optional = _FIELDS[data_type]
    check_keys(fields, required=required, optional=optional)
    record: Record = {name: text(fields[name], name) for name in required}
    for name in optional:
        if fields.get(name) is not None:
            record[name] = text(fields[name], name)
    return record


def validate(data_type: DataType, rows: Iterable[tuple[int, object]]) -> Validated:
    """Parse numbered rows; a rejected one is named by its line and reason, never dropped."""
    validated = Validated([], [])
    for line, raw in rows:
        try:
            validated.records.append((line, parse(data_type, raw)))
        except RecordError as error:
            validated.rejected.append(
                Rejected(line=line, code=error.code, message=error.message, excerpt=excerpt(raw))
            )
    return validated


def canonical_line(record: Mapping[str, object]) -> bytes:
    """One line of JSONL; records of equal content give equal bytes."""
    return _json(record).encode() + b"\n"


def texts(record: Mapping[str, object]) -> list[str]:
    """Every piece of content in a record, in the order of its keys; tools as JSON."""
    pieces = [value for value in record.values() if isinstance(value, str)]
    messages = _as_list(record.get("messages"))
    spoken = [piece for each in messages if isinstance(each, dict) for piece in said(each)]
    return pieces + spoken + [_json(tool) for tool in _as_list(record.get("tools"))]


def said(message: Mapping[str, object]) -> list[str]:
    """What a message says and calls."""
    content = [str(message["content"])] if "content" in message else []
    return content + [_json(call) for call in _as_list(message.get("tool_calls"))]


def _json(value: object) -> str:
    return _ENCODER.encode(value)


_ENCODER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


TRAINED_FIELDS: Final = {
    DataType.TEXT: "text",
    DataType.CODE: "code",
    DataType.QA: "answer",
    DataType.COMPLETION: "completion",
}
"""The field of each type that is flat whose text bears loss."""

_FIELDS: Final[Mapping[DataType, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    DataType.TEXT: (("text",), ()),
    DataType.CODE: (("code",), ("language",)),
    DataType.QA: (("question", "answer"), ("system",)),
    DataType.COMPLETION: (("prompt", "completion"), ()),
}
"""The required and the optional text fields of each type that is flat."""


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
