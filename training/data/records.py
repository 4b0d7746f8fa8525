"""The five data types: the canonical shape of each record, its validation, and statistics.

A record of each type, after `parse`:

    TEXT        {"text"}
    CODE        {"code", "language"?}
    QA          {"question", "answer", "system"?}
    COMPLETION  {"prompt", "completion"}
    CHAT        {"messages": [{"role", "content"}, ...]}
"""

import hashlib
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from training.config import DataType, Frozen
from training.errors import RecordError

Record: TypeAlias = dict[str, object]

PERCENTILES: Final = (5, 25, 50, 75, 95, 100)
EXCERPT_CHARACTERS: Final = 160


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
    fields = _object(raw)
    if data_type is DataType.CHAT:
        _check_keys(fields, required=("messages",))
        return {"messages": _messages(fields["messages"])}
    required, optional = _FIELDS[data_type]
    _check_keys(fields, required=required, optional=optional)
    record: Record = {name: _text(fields[name], name) for name in required}
    for name in optional:
        if fields.get(name) is not None:
            record[name] = _text(fields[name], name)
    return record


def validate(data_type: DataType, rows: Iterable[tuple[int, object]]) -> Validated:
    """Parse numbered rows; a rejected one is named by its line and reason, never dropped."""
    validated = Validated([], [])
    for line, raw in rows:
        try:
            validated.records.append((line, parse(data_type, raw)))
        except RecordError as error:
            validated.rejected.append(
                Rejected(line=line, code=error.code, message=error.message, excerpt=_excerpt(raw))
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
    return json.dumps(record, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def texts(record: Mapping[str, object]) -> list[str]:
    """Every piece of content in a record, in the order of its keys."""
    pieces = [value for value in record.values() if isinstance(value, str)]
    messages = _as_list(record.get("messages"))
    return pieces + [str(each["content"]) for each in messages if isinstance(each, dict)]


def _trained_texts(data_type: DataType, record: Record) -> list[str]:
    """The content that bears loss."""
    if data_type is DataType.CHAT:
        messages = [each for each in _as_list(record["messages"]) if isinstance(each, dict)]
        return [str(each["content"]) for each in messages if each["role"] == "assistant"]
    return [str(record[_TRAINED_FIELDS[data_type]])]


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

_ROLES: Final = ("system", "user", "assistant")


def _object(raw: object) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise RecordError("NOT_AN_OBJECT", f"A record must be an object, not {_kind(raw)}.")
    return raw


def _check_keys(
    fields: Mapping[str, object], *, required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    missing = [name for name in required if name not in fields]
    if missing:
        raise RecordError("MISSING_FIELD", f"The field {missing[0]} is missing.")
    unknown = [_printable(name) for name in fields if name not in (*required, *optional)]
    if unknown:
        allowed = ", ".join((*required, *optional))
        raise RecordError(
            "UNKNOWN_FIELD", f"The field {unknown[0]} is not known; this type has {allowed}."
        )


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise RecordError("NOT_A_STRING", f"The field {name} must be text, not {_kind(value)}.")
    for code, holds, problem in _TEXT_PROBLEMS:
        if holds(value):
            raise RecordError(code, f"The field {name} {problem}.")
    return value


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


_TEXT_PROBLEMS: Final[tuple[tuple[str, Callable[[str], bool], str], ...]] = (
    ("BLANK_TEXT", lambda text: not text.strip(), "is blank"),
    ("NUL_CHARACTER", lambda text: "\0" in text, "contains a NUL character"),
    ("LONE_SURROGATE", _has_lone_surrogate, "contains half of a surrogate pair"),
)


def _messages(value: object) -> list[dict[str, str]]:
    if not isinstance(value, list):
        raise RecordError("NOT_A_LIST", f"The field messages must be a list, not {_kind(value)}.")
    if not value:
        raise RecordError("NO_MESSAGES", "The field messages is empty.")
    messages = [_message(item, index) for index, item in enumerate(value)]
    _check_order([message["role"] for message in messages])
    return messages


def _message(item: object, index: int) -> dict[str, str]:
    name = f"messages[{index}]"
    if not isinstance(item, dict):
        raise RecordError("NOT_AN_OBJECT", f"{name} must be an object, not {_kind(item)}.")
    _check_keys(item, required=("role", "content"))
    role = item["role"]
    if role not in _ROLES:
        shown = _printable(role) if isinstance(role, str) else _kind(role)
        raise RecordError(
            "UNKNOWN_ROLE", f"{name} has role {shown}; known are {', '.join(_ROLES)}."
        )
    return {"role": role, "content": _text(item["content"], f"{name}.content")}


def _check_order(roles: Sequence[str]) -> None:
    """Refuse any order of roles but system?, (user, assistant)+."""
    if "system" in roles[1:]:
        raise RecordError("SYSTEM_NOT_FIRST", "Only the first message may have role system.")
    turns = roles[1:] if roles[0] == "system" else roles
    if "assistant" not in turns:
        raise RecordError("NO_ASSISTANT_TURN", "The conversation has no assistant message.")
    for index, role in enumerate(turns):
        expected = ("user", "assistant")[index % 2]
        if role != expected:
            position = index + len(roles) - len(turns)
            raise RecordError(
                "ROLES_NOT_ALTERNATING",
                f"messages[{position}] has role {role} where {expected} must follow.",
            )
    if turns[-1] != "assistant":
        raise RecordError("LAST_NOT_ASSISTANT", "The last message must have role assistant.")


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _nearest_rank(ordered: Sequence[int], percentile: int) -> int:
    return ordered[max(0, math.ceil(percentile / 100 * len(ordered)) - 1)]


def _kind(value: object) -> str:
    """What JSON calls the value's type."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text"}
    containers = {list: "a list", dict: "an object"}
    return (names | containers).get(type(value), type(value).__name__)


def _printable(name: object) -> str:
    """A user's own word, short and safe to store and show."""
    return reprlib.repr(name).replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _excerpt(raw: object) -> str:
    """The head of a record that may hold anything, as text that any database stores."""
    try:
        shown = json.dumps(raw, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        shown = reprlib.repr(raw)
    head = shown.replace("\0", "\\0").encode(errors="backslashreplace").decode()
    return head if len(head) <= EXCERPT_CHARACTERS else head[: EXCERPT_CHARACTERS - 1] + "…"
