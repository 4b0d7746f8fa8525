"""Where a text may be cut amid its words without other tokens coming of it.

Most tokenizers cut a text by a pattern before they look for tokens in what is left. The patterns of
the GPT family take a space to the word behind it, never to the one before. A single space between two
words is then a border in whatever text it stands, and both sides are cut as if the other were not
there: no part of such a pattern matches a space behind anything but blanks, and none looks further
than to whether a blank follows.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import TokenizersBackend

__all__ = ["has_word_borders", "words"]

_Step: TypeAlias = Mapping[str, object]

_BORDER: Final = re.compile(r"(?= \S)(?<=\S)")
"""What is found at fewer places comes first."""

_CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BLANKS: Final = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_LOWER: Final = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
)  # fmt: skip
_UPPER: Final = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
)  # fmt: skip
_PATTERNS: Final = (
    # Llama 3's, Qwen's from 2 to 3, Qwen 3.5's, that of gpt-oss, and Mistral's since Nemo
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _BLANKS,
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _BLANKS,
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    + _BLANKS,
    f"{_LOWER}{_CONTRACTIONS}?|{_UPPER}{_CONTRACTIONS}?"
    + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    + _BLANKS,
    f"{_LOWER}|{_UPPER}" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _BLANKS,
)
"""Those that were looked at; GPT-2's own is built into its step."""


def words(text: str) -> list[str]:
    """The text, cut at every border between words; all but the first begin with their space."""
    return _BORDER.split(text)


def has_word_borders(tokenizer: TokenizersBackend) -> bool:
    """Whether the words of any text get the tokens one by one that they get together."""
    backend = tokenizer.backend_tokenizer
    normaliser, steps = backend.normalizer, backend.pre_tokenizer
    if steps is None or (normaliser is not None and _as_stored(normaliser) != {"type": "NFC"}):
        return False  # nothing composes with a space, so that NFC does the same to each word
    looked_for = [each for each in tokenizer.added_tokens_decoder.values() if each.normalized]
    if any(each.lstrip or each.rstrip or each.single_word for each in looked_for):
        return False
    return _cut_at_words(_steps(steps)) and not any(" " in each.content for each in looked_for)


def _cut_at_words(steps: Sequence[_Step]) -> bool:
    """Whether it is done by a known pattern, and before it at most digits are set apart."""
    match steps[1:] if steps and steps[0]["type"] == "Digits" else steps:
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return True
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": kept, "invert": inverted},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return pattern in _PATTERNS and (kept, inverted) in _APART
    return False


_APART: Final = (("Isolated", False), ("Removed", True))
"""Two ways to say that all that is matched is kept, and apart; the patterns match everything."""


def _steps(cutting: PreTokenizer) -> Sequence[_Step]:
    """What is done to cut a text, in order."""
    stored = _as_stored(cutting)
    steps = stored.get("pretokenizers")
    return steps if isinstance(steps, list) else [stored]


def _as_stored(part: Normalizer | PreTokenizer) -> _Step:
    """A part of a tokenizer as its file has it."""
    stored: _Step = json.loads(part.__getstate__())
    return stored
