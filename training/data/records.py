"""The five data types: the canonical shape of each record, its validation, and statistics.

A record of each type, after `parse`:

    TEXT        {"text"}
    CODE        {"code", "language"?}
    QA          {"question", "answer", "system"?}
    COMPLETION  {"prompt", "completion"}
    CHAT        {"messages": [{"role", "content"}, ...], "tools"?}; more in `conversations`
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from training.config import DataType, Frozen
from training.data.conversations import canonical_messages, canonical_tools, trained
from training.data.fields import as_object, check_keys, excerpt, text
from training.errors import RecordError

Record: TypeAlias = dict[str, object]

PERCENTILES: Final = (5, 25, 50, 75, 95, 100)


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


def statistics(data_type: DataType, records: Iterable[Record]) -> Statistics:
    """Counts over canonical records, read once."""
    lengths: list[int] = []
    turns = trained = 0
    seen: set[bytes] = set()
    for record in records:
        lengths.append(sum(len(text) for text in texts(record)))
        seen.add(hashlib.sha256(canonical_line(record)).digest())
        turns += len(_as_list(record.get("messages")))
        trained += sum(len(text) for text in _trained_texts(data_type, record))
    lengths.sort()
    return Statistics(
        records=len(lengths),
        characters=sum(lengths),
        duplicates=len(lengths) - len(seen),
        turns=turns if data_type is DataType.CHAT else None,
        length_percentiles=tuple((p, _nearest_rank(lengths, p)) for p in PERCENTILES if lengths),
        trained_characters=trained,
    )


def canonical_line(record: Mapping[str, object]) -> bytes:
    """One line of JSONL; records of equal content give equal bytes."""
    return _json(record).encode() + b"\n"


def texts(record: Mapping[str, object]) -> list[str]:
    """Every piece of content in a record, in the order of its keys; tools as JSON."""
    pieces = [value for value in record.values() if isinstance(value, str)]
    messages = _as_list(record.get("messages"))
    said = [piece for each in messages if isinstance(each, dict) for piece in _said(each)]
    return pieces + said + [_json(tool) for tool in _as_list(record.get("tools"))]


def _trained_texts(data_type: DataType, record: Record) -> list[str]:
    """The content that bears loss."""
    if data_type is DataType.CHAT:
        messages = [each for each in _as_list(record["messages"]) if isinstance(each, dict)]
        return [piece for each in messages if trained(each) for piece in _said(each)]
    return [str(record[_TRAINED_FIELDS[data_type]])]


def _said(message: Mapping[str, object]) -> list[str]:
    """What a message says and calls."""
    content = [str(message["content"])] if "content" in message else []
    return content + [_json(call) for call in _as_list(message.get("tool_calls"))]


def _json(value: object) -> str:
    return _ENCODER.encode(value)


_ENCODER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


_TRAINED_FIELDS: Final = {
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


def _nearest_rank(ordered: Sequence[int], percentile: int) -> int:
    return ordered[max(0, math.ceil(percentile / 100 * len(ordered)) - 1)]
