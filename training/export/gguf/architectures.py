"""What llama.cpp must be told of a model's shape, and which models it computes otherwise.

A refusal names what is not alike. The sources are transformers' modelling code on one side and
llama.cpp's graphs on the other.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from gguf import MODEL_ARCH, GGUFWriter
from transformers import PretrainedConfig

from training.export.gguf.errors import NotInGguf
from training.export.gguf.rope import write_rope

__all__ = [
    "ARCHITECTURES",
    "GELU_FROM_TABLE",
    "context_length",
    "head_size",
    "target",
    "write_shape",
]

ARCHITECTURES: Final[Mapping[str, MODEL_ARCH]] = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gpt2": MODEL_ARCH.GPT2,
    "phi3": MODEL_ARCH.PHI3,
    "gemma2": MODEL_ARCH.GEMMA2,
}
"""By transformers' name for the architecture."""

_ACTIVATIONS: Final[Mapping[str, frozenset[str]]] = {
    "gpt2": frozenset({"gelu_new", "gelu_pytorch_tanh"}),
    "gemma2": frozenset({"gelu_pytorch_tanh", "gelu_new"}),
}
GELU_FROM_TABLE: Final = frozenset(_ACTIVATIONS)
"""Those whose activation llama.cpp looks up by its argument in fp16, instead of computing it."""
_SILU: Final = frozenset({"silu", "swish"})

_GEMMA2_27B_LAYERS: Final = 46
"""By this number llama.cpp knows the one Gemma 2 that scales its attention by the hidden size."""


def target(config: PretrainedConfig) -> MODEL_ARCH:
    """llama.cpp's architecture for a model. Raises `NotInGguf` naming the first thing that
    the two do not compute alike."""
    kind = config.model_type
    if kind not in ARCHITECTURES:
        listed = ", ".join(sorted(ARCHITECTURES))
        raise NotInGguf(f"its architecture is {kind}, and known are {listed}")
    for reason in _differences(config):
        raise NotInGguf(reason)
    return ARCHITECTURES[kind]


def write_shape(config: PretrainedConfig, writer: GGUFWriter, *, rows: int) -> None:
    """Every number of the architecture; `rows` is how many tokens the embedding has."""
    heads = config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(heads)
    writer.add_context_length(context_length(config))
    writer.add_vocab_size(rows)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(head_size(config))
    writer.add_value_length(head_size(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    write_rope(config, writer, head_size=head_size(config))
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
        writer.add_sliding_window(config.sliding_window)


def context_length(config: PretrainedConfig) -> int:
    """How many tokens the file may be used with.

    But for Gemma 2, llama.cpp lets every token see all before it in these architectures. Up to the
    length of its window that is what a model with a sliding one does, too, and no further.
    """
    longest = int(config.max_position_embeddings)
    window = getattr(config, "sliding_window", None)
    slides = getattr(config, "use_sliding_window", True) and config.model_type != "gemma2"
    return min(longest, int(window)) if window and slides else longest


def head_size(config: PretrainedConfig) -> int:
    """Elements of a key."""
    stated = getattr(config, "head_dim", None)
    return int(stated or config.hidden_size // config.num_attention_heads)


def _differences(config: PretrainedConfig) -> Iterator[str]:
    kind = config.model_type
    named = ("hidden_activation", "activation_function", "hidden_act")
    activation = next(getattr(config, name) for name in named if getattr(config, name, None))
    if activation not in _ACTIVATIONS.get(kind, _SILU):
        yield f"its activation is {activation}, and llama.cpp has another one for {kind}"
    if kind == "gpt2":
        yield from _of_gpt2(config)
    if kind == "gemma2":
        yield from _of_gemma2(config)


def _of_gpt2(config: PretrainedConfig) -> Iterator[str]:
    if config.scale_attn_by_inverse_layer_idx:
        yield "its attention is scaled by the number of the layer"
    if not config.scale_attn_weights:
        yield "its attention is not scaled"
    if config.add_cross_attention:
        yield "it has cross-attention"


def _of_gemma2(config: PretrainedConfig) -> Iterator[str]:
    by_width = config.num_hidden_layers == _GEMMA2_27B_LAYERS
    expected = config.hidden_size // config.num_attention_heads if by_width else head_size(config)
    if not math.isclose(config.query_pre_attn_scalar, expected):
        yield (
            f"its query_pre_attn_scalar is {config.query_pre_attn_scalar}, "
            f"and llama.cpp takes {expected}"
        )
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if not getattr(config, name):
            yield f"its {name} is unset"
    alternating = ["sliding_attention", "full_attention"]
    kinds = list(config.layer_types)
    if kinds != [alternating[layer % 2] for layer in range(len(kinds))]:
        yield "its layers do not take turns at a sliding window"
