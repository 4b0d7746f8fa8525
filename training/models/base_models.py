"""Loading a base model and its tokenizer, without what trains adapters and takes long to import."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.errors import ModelUnreadable
from training.models.tokenizers import first_line, load_tokenizer, stop_ids

__all__ = [
    "GENERATION_CONFIG",
    "first_line",
    "load_base",
    "load_tokenizer",
    "stop_at",
    "stop_token_ids",
    "take_generation_config",
]

GENERATION_CONFIG: Final = "generation_config.json"
"""By transformers' name for it."""

_load_with_report: Final[Callable[..., tuple[PreTrainedModel, dict[str, Iterable[object]]]]] = (
    AutoModelForCausalLM.from_pretrained  # type: ignore[assignment]  # with output_loading_info
)

_UNREADABLE: Final = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
"""What transformers raises for a folder that is no model, depending on what is wrong with it."""


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
    return stop_ids(getattr(model.generation_config, "eos_token_id", None), tokenizer)


def stop_at(model: PreTrainedModel, ids: frozenset[int]) -> None:
    """Let the model's generation stop at these tokens too."""
    config = model.generation_config
    if config is None:
        return
    named = config.eos_token_id
    known = list(named) if isinstance(named, list) else [] if named is None else [int(named)]
    new = sorted(ids - set(known))
    if new:
        config.eos_token_id = [*known, *new]


def take_generation_config(model: PreTrainedModel, folder: Path) -> None:
    """Let the model generate as a trained version does that was stored in a folder; one stored
    before there was such a file changes nothing."""
    if (folder / GENERATION_CONFIG).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
