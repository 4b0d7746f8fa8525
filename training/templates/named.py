"""Chat templates that can be chosen by name, in our own words; no library is needed to know them."""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["END_OF_TURN", "NamedTemplate", "named", "text_of"]

_TEXTS: Final = Path(__file__).parent / "texts"


class NamedTemplate(StrEnum):
    """Well-known ways to write a conversation, those first that suggest themselves most."""

    CHATML = "CHATML"
    LLAMA_3 = "LLAMA_3"
    GEMMA = "GEMMA"
    MISTRAL = "MISTRAL"
    ZEPHYR = "ZEPHYR"
    ALPACA = "ALPACA"


END_OF_TURN: Final[Mapping[NamedTemplate, str]] = {
    NamedTemplate.CHATML: "<|im_end|>",
    NamedTemplate.LLAMA_3: "<|eot_id|>",
    NamedTemplate.GEMMA: "<end_of_turn>",
}
"""The token that ends each turn; of those left out it is the tokenizer's own end token."""


def named(chosen: str) -> NamedTemplate | None:
    """The template of this name; None for anything else, such as a template's text."""
    return NamedTemplate(chosen) if chosen in NamedTemplate.__members__ else None


@cache
def text_of(template: NamedTemplate) -> str:
    """The template itself. It marks with `{% generation %}` what the assistant says."""
    return (_TEXTS / f"{template.lower()}.jinja").read_text(encoding="utf-8").strip()
