"""Names that a user chose, made safe for where a GGUF file is read."""

import re
from typing import Final

__all__ = ["file_stem", "safe_name"]

_LONGEST: Final = 80

_MEANT: Final = (
    (re.compile(r"phi-?(?=3)", re.IGNORECASE), "phi "),
    (re.compile(r"modern-bert", re.IGNORECASE), "modern bert"),
)
"""llama.cpp treats a file as one of these models if its name merely has the word in it, and then
does not load it, or makes other tokens of its texts."""


def safe_name(name: str) -> str:
    """A name that says what the model is called and changes nothing of how it is read."""
    plain = re.sub(r"[^\w .:()+-]+", " ", name)
    for pattern, harmless in _MEANT:
        plain = pattern.sub(harmless, plain)
    return " ".join(plain.split())[:_LONGEST].strip() or "model"


def file_stem(name: str) -> str:
    """The beginning of a file's name: lower case, digits, dots and hyphens."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    return plain[:_LONGEST].strip("-.") or "model"
