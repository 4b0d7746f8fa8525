"""Loading a base model and its tokenizer, without what trains adapters and takes long to import."""

from collections.abc import Callable, Iterable
from typing import Final

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.errors import ModelUnreadable
from training.models.tokenizers import UNREADABLE, first_line, stop_ids

_load_with_report: Final[Callable[..., tuple[PreTrainedModel, dict[str, Iterable[object]]]]] = (
    AutoModelForCausalLM.from_pretrained  # type: ignore[assignment]  # with output_loading_info
)

_UNREADABLE: Final = (*UNREADABLE, SafetensorError)


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
    return stop_ids(model.generation_config, tokenizer)
