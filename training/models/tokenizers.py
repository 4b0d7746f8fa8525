"""Loading a tokenizer, and at which tokens its model stops: all without torch."""

import json
from collections.abc import Iterable
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training.errors import ModelUnreadable

__all__ = ["declared_stop_ids", "first_line", "load_tokenizer", "stop_ids"]


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id. Raises `ModelUnreadable`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnreadable(source, f"no tokenizer: {first_line(error)}") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)  # noqa: S101 - AutoTokenizer is untyped
    return tokenizer


def declared_stop_ids(folder: Path, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token at which generation stops, as a model's folder has it: what `stop_token_ids` finds
    once the model is loaded."""
    declared = _json(folder / "generation_config.json")
    if declared is None:
        declared = _json(folder / "config.json") or {}
    return stop_ids(declared.get("eos_token_id"), tokenizer)


def stop_ids(declared: object, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that a model declares, one or several or none, and its tokenizer's end token."""
    listed: Iterable[object] = declared if isinstance(declared, list) else [declared]
    ids = [*listed, tokenizer.eos_token_id]
    return frozenset(each for each in ids if isinstance(each, int))


def first_line(error: BaseException) -> str:
    """The gist of a library's error, without its paragraphs of advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _json(path: Path) -> dict[str, object] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
