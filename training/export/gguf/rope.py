"""Rotary positions: how they are stretched, as keys and tensors of a GGUF file."""

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import torch
from gguf import GGUFWriter, RopeScalingType
from torch import Tensor
from transformers import PretrainedConfig

from training.export.gguf.errors import NotInGguf

__all__ = ["factor_tensors", "write_rope"]

_LLAMA_KINDS: Final = frozenset({"llama", "mistral"})
"""For these alone llama.cpp reads a factor for each frequency."""


def write_rope(config: PretrainedConfig, writer: GGUFWriter, *, head_size: int) -> None:
    """The base, the turned dimensions, and the stretching. Raises `NotInGguf` for a kind of it
    that llama.cpp has no word for."""
    rope = _parameters(config)
    share = _number(rope, "partial_rotary_factor", 1.0)
    if share != 1.0 and config.model_type != "phi3":
        raise NotInGguf(f"only {share:g} of each key is turned by its position")
    writer.add_rope_dimension_count(int(head_size * share))
    writer.add_rope_freq_base(_number(rope, "rope_theta"))
    kind = str(rope.get("rope_type", "default"))
    if kind == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(_number(rope, "factor"))
    elif kind == "yarn":
        _write_yarn(rope, writer, config)
    elif kind == "longrope" and config.model_type == "phi3":
        writer.add_rope_scaling_attn_factors(_longrope_attention(rope, config))
    elif kind != "default" and not (kind == "llama3" and config.model_type in _LLAMA_KINDS):
        raise NotInGguf(
            f"its rotary positions are stretched by {kind}, which llama.cpp does not do for "
            f"{config.model_type}"
        )
    if config.model_type == "phi3":
        writer.add_rope_scaling_orig_ctx_len(_original_length(rope, config))


class Factors(NamedTuple):
    """A factor for each frequency, under the name of a GGUF tensor."""

    name: str
    values: Tensor


def factor_tensors(config: PretrainedConfig, *, head_size: int) -> Iterator[Factors]:
    """The tensors that the stretching needs beside its keys."""
    rope = {} if config.model_type == "gpt2" else _parameters(config)
    kind = rope.get("rope_type", "default")
    if kind == "llama3":
        yield Factors("rope_freqs.weight", _llama3_factors(rope, head_size))
    elif kind == "longrope":
        yield Factors("rope_factors_long.weight", torch.tensor(rope["long_factor"]))
        yield Factors("rope_factors_short.weight", torch.tensor(rope["short_factor"]))


def _parameters(config: PretrainedConfig) -> Mapping[str, object]:
    found: object = config.rope_parameters
    assert isinstance(found, Mapping)  # noqa: S101 - transformers standardises it on loading
    return found


def _number(rope: Mapping[str, object], name: str, otherwise: float | None = None) -> float:
    value = rope.get(name)
    if value is None:
        value = otherwise
    if not isinstance(value, int | float):
        raise NotInGguf(f"its rotary positions lack {name}")
    return float(value)


def _original_length(rope: Mapping[str, object], config: PretrainedConfig) -> int:
    longest = float(config.max_position_embeddings)
    stated = getattr(config, "original_max_position_embeddings", None)
    return int(_number(rope, "original_max_position_embeddings", stated or longest))


def _write_yarn(rope: Mapping[str, object], writer: GGUFWriter, config: PretrainedConfig) -> None:
    for name in ("attention_factor", "mscale", "mscale_all_dim"):
        if rope.get(name) is not None:
            raise NotInGguf(f"its yarn sets {name}, which llama.cpp takes no value for")
    if not rope.get("truncate", True):
        raise NotInGguf("its yarn does not round its borders, and llama.cpp's does")
    writer.add_rope_scaling_type(RopeScalingType.YARN)
    writer.add_rope_scaling_factor(_number(rope, "factor"))
    writer.add_rope_scaling_orig_ctx_len(_original_length(rope, config))
    writer.add_rope_scaling_yarn_beta_fast(_number(rope, "beta_fast", 32.0))
    writer.add_rope_scaling_yarn_beta_slow(_number(rope, "beta_slow", 1.0))


def _longrope_attention(rope: Mapping[str, object], config: PretrainedConfig) -> float:
    """As transformers computes it: https://arxiv.org/abs/2402.13753, as Phi-3 was published."""
    if rope.get("attention_factor") is not None:
        return _number(rope, "attention_factor")
    original = _original_length(rope, config)
    factor = _number(rope, "factor", config.max_position_embeddings / original)
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0


def _llama3_factors(rope: Mapping[str, object], head_size: int) -> Tensor:
    """By how much each frequency is slowed down, in the notation of Llama 3.1's reference code:
    the slow ones by `factor`, the fast ones not at all, smoothly in between."""
    base, factor = _number(rope, "rope_theta"), _number(rope, "factor")
    slow, fast = _number(rope, "low_freq_factor"), _number(rope, "high_freq_factor")
    original = _number(rope, "original_max_position_embeddings")
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
    wavelengths = 2 * math.pi * base**exponents
    smooth = (original / wavelengths - slow) / (fast - slow)
    between = 1 / ((1 - smooth) / factor + smooth)
    factors = torch.where(wavelengths > original / slow, factor, between)
    return torch.where(wavelengths < original / fast, 1.0, factors)
