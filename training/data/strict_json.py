"""JSON as the standard has it, and refused where reading it would lose or cost too much.

Python's own parser is kept, for what it says of a mistake, and told not to be generous: no NaN,
no number that a 64-bit machine cannot hold, no key that stands twice in an object.
"""

import json
import math
import re
from typing import Final

from training.errors import RecordError

__all__ = ["MAX_DEPTH", "loads"]

MAX_DEPTH: Final = 64
"""Lists and objects within each other; a record with tools has about ten."""

_INT64: Final = 2**63
_INT_CHARACTERS: Final = 20

_STRUCTURE: Final = re.compile(r'"(?>[^"\\]++|\\.)*+(?:"|\Z|\\\Z)|[\[{]|[\]}]', re.DOTALL)
"""A whole string, or a bracket. Possessive, so that hostile text costs no more than its length."""


_BEFORE_PLACE: Final = re.compile(r"( starting)? at$")
"""How some of the decoder's words lead to the place, which is named before them here."""


def loads(text: str) -> object:
    """The value of a JSON text.

    `RecordError` with code MALFORMED_JSON, TOO_DEEP, NUMBER_TOO_LARGE or DUPLICATE_KEY where
    there is none.
    """
    _refuse_depth(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise RecordError(
            "MALFORMED_JSON",
            f"This is not JSON at character {error.pos + 1}: {_BEFORE_PLACE.sub('', error.msg)}.",
        ) from None


def _refuse_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for found in _STRUCTURE.finditer(text):
        mark = text[found.start()]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise RecordError(
                "TOO_DEEP", f"Lists and objects lie within each other more than {MAX_DEPTH} deep."
            )


def _integer(digits: str) -> int:
    if len(digits) > _INT_CHARACTERS or not -_INT64 <= int(digits) < _INT64:
        raise _too_large(digits)
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _too_large(digits)
    return value


def _constant(name: str) -> float:
    raise RecordError("MALFORMED_JSON", f"{name} is not a JSON number.")


def _too_large(digits: str) -> RecordError:
    return RecordError("NUMBER_TOO_LARGE", f"The number {digits[:24]}… does not fit in 64 bits.")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise RecordError("DUPLICATE_KEY", f"The key {twice[:40]!r} stands twice in one object.")


_DECODER: Final = json.JSONDecoder(
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
    object_pairs_hook=_object,
)
