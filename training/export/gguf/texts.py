"""What a tokenizer does to a text before it splits it, and what of that llama.cpp leaves to its caller."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from transformers import PreTrainedTokenizerBase

from training.export.gguf.errors import NotInGguf
from training.templates.rendering import OF_A_TEMPLATE

__all__ = ["Treatment", "content_of", "is_sentencepiece", "treatment"]

_SPACE: Final = "\u2581"
"""What SentencePiece writes for a blank."""
_REPLACES: Final = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}


class Treatment(NamedTuple):
    """The first that a file can say; the others are the caller's to do."""

    adds_blank: bool
    """Put a blank before a text and before what follows a special token."""
    composes: bool
    """Compose characters (Unicode NFC)."""
    blank_first: bool
    """Put a blank before a text alone, which a chat that begins with a special token never needs."""


def treatment(tokenizer: PreTrainedTokenizerBase) -> Treatment:
    """Raises `NotInGguf` for what neither llama.cpp nor its caller can do as the tokenizer does."""
    content = content_of(tokenizer)
    if is_sentencepiece(content):
        blanks = _blanks(content)
        if blanks == "first":
            _require_chats(tokenizer)
        return Treatment(blanks == "always", composes=False, blank_first=blanks == "first")
    normaliser = _normaliser(content)
    if normaliser not in (None, "NFC"):
        raise NotInGguf(f"its tokenizer changes texts by {normaliser}")
    return Treatment(adds_blank=False, composes=normaliser == "NFC", blank_first=False)


def content_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """As `tokenizer.json` has it. What transformers made of the file counts: for some architectures
    it is another tokenizer than the file's. Raises `NotInGguf` where it has none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise NotInGguf("its tokenizer has no tokenizer.json")
    content: dict[str, Any] = json.loads(backend.to_str())
    return content


def is_sentencepiece(content: Mapping[str, Any]) -> bool:
    """Whether it falls back on bytes where no token fits, instead of beginning with bytes."""
    return bool(content["model"].get("byte_fallback"))


def _normaliser(content: Mapping[str, Any]) -> str | None:
    steps = _steps(content["normalizer"], "normalizers")
    return ", ".join(str(step["type"]) for step in steps) or None


def _blanks(content: Mapping[str, Any]) -> str:
    """Where the tokenizer adds one: always, never, or before the first word alone."""
    steps = _steps(content["normalizer"], "normalizers")
    before = _steps(content["pre_tokenizer"], "pretokenizers")
    match steps, before:
        case [{"type": "Prepend", "prepend": "\u2581"}, last], [] if last == _REPLACES:
            return "always"
        case [only], [] | [{"type": "Split", "pattern": {"String": " "}}] if only == _REPLACES:
            return "never"
        case [], [{"type": "Metaspace", "replacement": "\u2581", "split": False, **rest}]:
            return str(rest.get("prepend_scheme"))
    shown = json.dumps([content["normalizer"], content["pre_tokenizer"]], ensure_ascii=False)
    raise NotInGguf(f"llama.cpp treats blanks otherwise than its tokenizer: {shown[:200]}")


def _steps(declared: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    if declared is None:
        return []
    return list(declared[name]) if declared["type"] == "Sequence" else [declared]


def _require_chats(tokenizer: PreTrainedTokenizerBase) -> None:
    """llama.cpp puts a blank before all that follows a special token, or before nothing."""
    prompt = ""
    if tokenizer.chat_template is not None:
        hello = [{"role": "user", "content": "Hello"}]
        try:
            prompt = str(tokenizer.apply_chat_template(hello, tokenize=False))
        except OF_A_TEMPLATE:  # no conversation that is asked here
            prompt = ""
    if not prompt.startswith(tuple(each.content for each in _special(tokenizer))):
        raise NotInGguf(
            "its tokenizer puts a blank before a text and none after a special token, and its chats "
            "do not begin with one"
        )


def _special(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    return [each for each in tokenizer.added_tokens_decoder.values() if each.special]
