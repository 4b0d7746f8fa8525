"""Loading a base model and its tokenizer, without what trains adapters and takes long to import."""

from collections.abc import Callable, Iterable
from typing import Final

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.errors import ModelUnreadable

_load_with_report: Final[Callable[..., tuple[PreTrainedModel, dict[str, Iterable[object]]]]] = (
    AutoModelForCausalLM.from_pretrained  # type: ignore[assignment]  # with output_loading_info
)

_UNREADABLE: Final = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
"""What transformers raises for a folder that is no model, depending on what is wrong with it."""


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id. Raises `ModelUnreadable`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except _UNREADABLE as error:
        raise ModelUnreadable(source, f"no tokenizer: {first_line(error)}") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)  # noqa: S101 - AutoTokenizer is untyped
    return tokenizer


def load_base(
    source: str, dtype: torch.dtype, *, quantisation: BitsAndBytesConfig | None = None
) -> PreTrainedModel:
    """The causal language model of a folder or hub id, on the CPU.

    Never runs code from the source, and never unpickles. Raises `ModelUnreadable`, also where a
    weight is missing, too many, or of another shape.
    """
    try:
        model, loading = _load_with_report(
            source,
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **({"quantization_config": quantisation, "device_map": "cpu"} if quantisation else {}),
        )
    except _UNREADABLE as error:
        raise ModelUnreadable(source, first_line(error)) from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading[problem]:
            names = ", ".join(sorted(map(str, loading[problem]))[:3])
            raise ModelUnreadable(source, f"{problem.replace('_', ' ')}: {names}")
    return model


def stop_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token at which the model's generation stops."""
    named = getattr(model.generation_config, "eos_token_id", None)
    listed = named if isinstance(named, list) else [named]
    ids = [*listed, tokenizer.eos_token_id]
    return frozenset(int(each) for each in ids if each is not None)


def first_line(error: BaseException) -> str:
    """The gist of a library's error, without its paragraphs of advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
