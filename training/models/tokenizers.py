"""Loading a tokenizer, and at which tokens its model stops: all without torch."""

from collections.abc import Iterable
from typing import Final

from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from training.errors import ModelUnreadable

__all__ = ["declared_generation", "declared_stop_ids", "first_line", "load_tokenizer", "stop_ids"]

_UNREADABLE: Final = (OSError, ValueError, KeyError, RuntimeError)
"""What transformers raises for a folder that is no model, depending on what is wrong with it."""


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id. Raises `ModelUnreadable`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except _UNREADABLE as error:
        raise ModelUnreadable(source, f"no tokenizer: {first_line(error)}") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)  # noqa: S101 - AutoTokenizer is untyped
    return tokenizer


def declared_stop_ids(source: str, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token at which generation stops, as the files of a folder or hub id have it: what
    `stop_token_ids` finds once the model is loaded. Raises `ModelUnreadable`."""
    return stop_ids(declared_generation(source).eos_token_id, tokenizer)


def declared_generation(source: str) -> GenerationConfig:
    """How the model of a folder or hub id generates, by its files. Raises `ModelUnreadable`."""
    try:
        try:
            return GenerationConfig.from_pretrained(source)
        except OSError:  # there is no file of it: what a model does then, too
            return GenerationConfig.from_pretrained(
                source, config_file_name="config.json", _from_model_config=True
            )
    except _UNREADABLE as error:
        raise ModelUnreadable(source, first_line(error)) from error
    except TypeError as error:  # what comes of opening a file that it knows to be missing
        raise ModelUnreadable(source, "it has no config.json") from error


def stop_ids(declared: object, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that a model declares, one or several or none, and its tokenizer's end token."""
    listed: Iterable[object] = declared if isinstance(declared, list) else [declared]
    ids = [*listed, tokenizer.eos_token_id]
    return frozenset(each for each in ids if isinstance(each, int))


def first_line(error: BaseException) -> str:
    """The gist of a library's error, without its paragraphs of advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
