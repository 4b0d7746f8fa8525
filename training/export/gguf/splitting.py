"""How a byte-level tokenizer splits text before it merges, by llama.cpp's name for it.

llama.cpp has its own code for each way, and no file carries the expressions themselves. The name is
found by comparing structures; whether both split alike is then tried on texts before an export is
offered.
"""

import json
from collections.abc import Mapping
from typing import Final, TypeAlias

from training.export.gguf.errors import NotInGguf

__all__ = ["pre_tokenizer"]

_Part: TypeAlias = tuple[str, ...]

_CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_REST_AND_SLASH: Final = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD: Final = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDING_LOW: Final = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_STARTING_HIGH: Final = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"

_SINGLE_DIGITS: Final = rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}|{_REST}"
_DIGITS_BY_THREE: Final = rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}{{1,3}}|{_REST}"
_BY_CASE: Final = rf"{_ENDING_LOW}|{_STARTING_HIGH}|\p{{N}}|{_REST_AND_SLASH}"
_BY_CASE_WITH_CONTRACTIONS: Final = (
    rf"{_ENDING_LOW}{_CONTRACTIONS}?|{_STARTING_HIGH}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|"
    rf"{_REST_AND_SLASH}"
)

_BYTES: Final[_Part] = ("ByteLevel", "splits")
_PLAIN_BYTES: Final[_Part] = ("ByteLevel", "whole")
_DIGITS: Final[_Part] = ("Digits", "individual")


def _split(expression: str) -> tuple[_Part, ...]:
    return (("Split", expression), _PLAIN_BYTES)


_KNOWN: Final[Mapping[tuple[tuple[_Part, ...], bool], str]] = {
    ((_BYTES,), False): "gpt-2",
    ((_DIGITS, _BYTES), False): "smollm",
    (_split(_SINGLE_DIGITS), False): "qwen2",
    (_split(_DIGITS_BY_THREE), True): "llama-bpe",
    (_split(_DIGITS_BY_THREE), False): "smaug-bpe",
    (_split(_BY_CASE), True): "tekken",
    (_split(_BY_CASE_WITH_CONTRACTIONS), False): "gpt-4o",
}
"""By the parts, and whether a word that is a token needs no merges to become it."""


def pre_tokenizer(tokenizer: Mapping[str, object]) -> str:
    """llama.cpp's name for how this tokenizer, as `tokenizer.json` has it, splits text.

    Raises `NotInGguf` where it has none.
    """
    declared, model = tokenizer["pre_tokenizer"], tokenizer["model"]
    assert isinstance(model, Mapping)  # noqa: S101 - the format's
    parts = tuple(_parts(declared)) if isinstance(declared, Mapping) else ()
    name = _KNOWN.get((parts, bool(model.get("ignore_merges"))))
    if name is None:
        shown = json.dumps(declared, ensure_ascii=False)[:200]
        raise NotInGguf(f"llama.cpp does not know how its tokenizer splits text: {shown}")
    return name


def _parts(declared: Mapping[str, object]) -> list[_Part]:
    match declared:
        case {"type": "Sequence", "pretokenizers": list(inner)}:
            return [part for each in inner for part in _parts(each)]
        case {"type": "ByteLevel", "add_prefix_space": False}:
            return [_BYTES if declared.get("use_regex", True) else _PLAIN_BYTES]
        case {"type": "Digits", "individual_digits": True}:
            return [_DIGITS]
        case {"type": "Split", "pattern": {"Regex": str(text)}, "behavior": "Isolated"}:
            return [("Split", text)] if not declared.get("invert") else [("Split", "inverted")]
    return [(str(declared.get("type")), "unknown")]
