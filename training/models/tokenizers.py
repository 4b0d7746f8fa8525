"""Loading a tokenizer, and at which tokens its model stops, without the model and without torch."""

from typing import Final

from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from training.errors import ModelUnreadable

__all__ = ["UNREADABLE", "first_line", "load_tokenizer", "stop_ids", "stop_ids_of"]

UNREADABLE: Final = (OSError, ValueError, KeyError, RuntimeError)
"""What transformers raises for a folder that is no model, depending on what is wrong with it."""


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id. Raises `ModelUnreadable`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except UNREADABLE as error:
        raise ModelUnreadable(source, f"no tokenizer: {first_line(error)}") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)  # noqa: S101 - AutoTokenizer is untyped
    return tokenizer


def stop_ids(
    generation: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    """Every token at which generation stops."""
    named = getattr(generation, "eos_token_id", None)
    listed = named if isinstance(named, list) else [named]
    ids = [*listed, tokenizer.eos_token_id]
    return frozenset(int(each) for each in ids if each is not None)


def stop_ids_of(source: str, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The same as a loaded model of this folder or hub id would tell. Raises `ModelUnreadable`."""
    try:
        try:
            generation = GenerationConfig.from_pretrained(source)
        except OSError:  # there is no file of it: what a model does then, too
            generation = GenerationConfig.from_pretrained(
                source, config_file_name="config.json", _from_model_config=True
            )
    except UNREADABLE as error:
        raise ModelUnreadable(source, first_line(error)) from error
    except TypeError as error:  # what comes of opening a file that it knows to be missing
        raise ModelUnreadable(source, "it has no config.json") from error
    return stop_ids(generation, tokenizer)


def first_line(error: BaseException) -> str:
    """The gist of a library's error, without its paragraphs of advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
