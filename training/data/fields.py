"""Checks on the fields of a record, and words for what was found instead."""

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from training.errors import RecordError

__all__ = [
    "EXCERPT_CHARACTERS",
    "as_object",
    "check_keys",
    "excerpt",
    "kind",
    "printable",
    "shortened",
    "text",
]

EXCERPT_CHARACTERS: Final = 160


def as_object(raw: object, name: str = "A record") -> dict[str, object]:
    """The value where it is an object; `RecordError` otherwise."""
    if not isinstance(raw, dict):
        raise RecordError("NOT_AN_OBJECT", f"{name} must be an object, not {kind(raw)}.")
    return raw


def check_keys(
    fields: Mapping[str, object], *, required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    """Refuse an object that lacks a required key or has one that is not known."""
    missing = [name for name in required if name not in fields]
    if missing:
        raise RecordError("MISSING_FIELD", f"The field {missing[0]} is missing.")
    unknown = [printable(name) for name in fields if name not in (*required, *optional)]
    if unknown:
        allowed = ", ".join((*required, *optional))
        raise RecordError(
            "UNKNOWN_FIELD", f"The field {unknown[0]} is not known; this type has {allowed}."
        )


def text(value: object, name: str) -> str:
    """The value where it is text that can be stored and is not blank."""
    if not isinstance(value, str):
        raise RecordError("NOT_A_STRING", f"The field {name} must be text, not {kind(value)}.")
    for code, holds, problem in _TEXT_PROBLEMS:
        if holds(value):
            raise RecordError(code, f"The field {name} {problem}.")
    return value


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


_TEXT_PROBLEMS: Final[tuple[tuple[str, Callable[[str], bool], str], ...]] = (
    ("BLANK_TEXT", lambda text: not text.strip(), "is blank"),
    ("NUL_CHARACTER", lambda text: "\0" in text, "contains a NUL character"),
    ("LONE_SURROGATE", _has_lone_surrogate, "contains half of a surrogate pair"),
)


def kind(value: object) -> str:
    """What JSON calls the value's type."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text"}
    containers = {list: "a list", dict: "an object"}
    return (names | containers).get(type(value), type(value).__name__)


def printable(name: object) -> str:
    """A user's own word, short and safe to store and show."""
    return _storable(reprlib.repr(name))


def excerpt(raw: object) -> str:
    """The head of a record that may hold anything, as text that any database stores."""
    try:
        shown = json.dumps(raw, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        shown = reprlib.repr(raw)
    return shortened(shown)


def shortened(shown: str, characters: int = EXCERPT_CHARACTERS) -> str:
    """The head of a text, as text that any database stores."""
    head = _storable(shown[: 2 * characters])
    return head if len(head) <= characters else head[: characters - 1] + "…"


def _storable(shown: str) -> str:
    return shown.replace("\0", "\\0").encode(errors="backslashreplace").decode()
