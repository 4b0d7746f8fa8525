"""Characters that a text should not have, or has in the wrong form."""

import re
import unicodedata
from typing import Final

from training.data.doctor.checks import BITS, Code

__all__ = ["character_marks", "shows_nothing"]


def character_marks(text: str) -> int:
    """The bits of what is wrong with the characters of a text."""
    marks = 0
    if _CONTROL.search(text):
        marks |= BITS[Code.CONTROL_CHARACTERS]
    if ("<" in text or "[" in text) and _TEMPLATE_TOKEN.search(text):
        marks |= BITS[Code.TEMPLATE_TOKENS]
    return marks if text.isascii() else marks | _beyond_ascii(text)


def shows_nothing(text: str) -> bool:
    """Whether a text that is not blank has nothing to be seen."""
    return not text.isascii() and _INVISIBLE.fullmatch(text) is not None


def _beyond_ascii(text: str) -> int:
    marks = 0
    if "\ufffd" in text:
        marks |= BITS[Code.REPLACEMENT_CHARACTERS]
    if _MOJIBAKE.search(text):
        marks |= BITS[Code.MOJIBAKE]
    if not unicodedata.is_normalized("NFC", text):
        marks |= BITS[Code.NOT_NFC]
    return marks


_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_INVISIBLE: Final = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]*"
)

_TEMPLATE_TOKEN: Final = re.compile(
    r"<\|[\w:./-]{1,40}\|>"  # ChatML, Llama 3, Phi, Qwen
    r"|<\uff5c[^\uff5c<>]{1,40}\uff5c>"  # DeepSeek
    r"|</?s>|\[/?INST\]|<</?SYS>>"  # Llama 2, Mistral
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"  # Gemma, and what tokenizers are made with
)

_AFTER: Final = "\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178"
"""The bytes that follow the first of a character in UTF-8, read as Latin-1 or Windows-1252."""

_MOJIBAKE: Final = re.compile(
    f"[\u00c2\u00c3][{_AFTER}]"
    f"|\u00e2(?:\u20ac|\u0080)[{_AFTER}]"
    f"|\u00f0(?:\u0178|\u009f)[{_AFTER}]"
    f"|(?:[\u00d0\u00d1][{_AFTER}]){{2}}"
)
"""Accented Latin letters, typographic marks, emoji and Cyrillic, each read one byte at a time."""
