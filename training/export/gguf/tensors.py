"""The weights of a checkpoint under llama.cpp's names, one at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, get_tensor_name_map
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor
from transformers import PretrainedConfig

from training.export.gguf.architectures import head_size
from training.export.gguf.errors import NotInGguf, WeightsOverflow
from training.export.gguf.rope import Factors, factor_tensors
from training.models.weights import weight_files

__all__ = ["TensorFile", "Weight", "interleaved_heads", "weights"]

_BUFFERS: Final = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""What older checkpoints store that follows from the shape."""
_CONV1D: Final = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
_ALWAYS_FULL: Final = ("position_embd.weight",)
"""A matrix that llama.cpp adds to others, and multiplies none with."""
_LARGEST_HALF: Final = 65504.0

_TORCH_TYPES: Final = {
    GGMLQuantizationType.F32: torch.float32,
    GGMLQuantizationType.F16: torch.float16,
    GGMLQuantizationType.BF16: torch.bfloat16,
}


class Weight(NamedTuple):
    """A tensor of the file before it is read."""

    name: str
    """In the GGUF file."""
    source: str
    """In the checkpoint, or the name of a tensor that follows from the config."""
    shape: tuple[int, ...]
    type: GGMLQuantizationType

    @property
    def size_bytes(self) -> int:
        """In the file."""
        return int(np.prod(self.shape)) * _TORCH_TYPES[self.type].itemsize


def weights(
    folder: Path, config: PretrainedConfig, arch: MODEL_ARCH, element: GGMLQuantizationType
) -> "TensorFile":
    """What of a checkpoint goes into the file, by its headers alone. Raises `NotInGguf` for a
    tensor that llama.cpp has no name for."""
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    found: dict[str, Weight] = {}
    paths: dict[str, Path] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as stored:
            for source in sorted(stored.keys()):
                if source.endswith(_BUFFERS):
                    continue
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if name is None or name in found:
                    raise NotInGguf(f"llama.cpp has no place for its tensor {source}")
                shape = tuple(stored.get_slice(source).get_shape())
                shape = shape[::-1] if _is_turned(config, source) else shape
                whole = len(shape) == 1 or name in _ALWAYS_FULL
                kept = GGMLQuantizationType.F32 if whole else element
                found[name], paths[source] = Weight(name, source, shape, kept), path
    if config.tie_word_embeddings:
        found.pop("output.weight", None)  # a copy, where it is stored at all
    return TensorFile(config, found, paths)


class TensorFile:
    """The tensors of a checkpoint, listed, and read when asked for."""

    def __init__(
        self, config: PretrainedConfig, found: dict[str, Weight], paths: dict[str, Path]
    ) -> None:
        self._config = config
        self._paths = paths
        factors = [] if config.model_type == "gpt2" else self._factors()
        self._computed = {each.name: each.values.float() for each in factors}
        computed = [
            Weight(name, name, tuple(values.shape), GGMLQuantizationType.F32)
            for name, values in self._computed.items()
        ]
        self.listed = [*computed, *found.values()]
        """In the order of the file."""

    @property
    def rows(self) -> int:
        """How many tokens the embedding has."""
        return next(each.shape[0] for each in self.listed if each.name == "token_embd.weight")

    def contents(self) -> Iterator[tuple[Weight, NDArray[np.generic]]]:
        """Every tensor as it is stored, one in memory at a time. Raises `WeightsOverflow`."""
        for weight in self.listed:
            yield weight, _stored(weight, self._values(weight))

    def _values(self, weight: Weight) -> Tensor:
        """In the element type of the checkpoint.

        A file is opened for each of its tensors: what was read of it stays resident as long as it is
        open, until all of the checkpoint is.
        """
        if weight.name in self._computed:
            return self._computed[weight.name]
        with safe_open(self._paths[weight.source], framework="pt") as file:
            return self._arranged(weight.source, file.get_tensor(weight.source))

    def _factors(self) -> list[Factors]:
        return list(factor_tensors(self._config, head_size=head_size(self._config)))

    def _arranged(self, source: str, values: Tensor) -> Tensor:
        config = self._config
        if _is_turned(config, source):
            return values.T.contiguous()
        values = interleaved_heads(config, source, values)
        if config.model_type == "gemma2" and source.endswith("norm.weight"):
            return values.float() + 1  # the model adds it when it computes, llama.cpp does not
        return values


def _is_turned(config: PretrainedConfig, source: str) -> bool:
    """Whether the matrix is stored the other way round: GPT-2's have their inputs first."""
    return config.model_type == "gpt2" and source.endswith(_CONV1D)


def interleaved_heads(config: PretrainedConfig, source: str, values: Tensor) -> Tensor:
    """The rows of queries and keys with the two halves that a rotation turns side by side, as
    llama.cpp pairs them for Llama; unchanged for other tensors and other architectures."""
    layer = source.split(".")[-2]
    if config.model_type not in ("llama", "mistral") or layer not in ("q_proj", "k_proj"):
        return values
    heads = config.num_attention_heads if layer == "q_proj" else config.num_key_value_heads
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _stored(weight: Weight, values: Tensor) -> NDArray[np.generic]:
    if weight.type is GGMLQuantizationType.F16:
        largest = max(map(abs, map(float, values.aminmax())))
        if largest > _LARGEST_HALF:
            raise WeightsOverflow(weight.name, largest)
    stored = values.to(_TORCH_TYPES[weight.type]).contiguous()
    if weight.type is GGMLQuantizationType.BF16:
        stored = stored.view(torch.int16)  # NumPy has no such type
    found: NDArray[np.generic] = stored.numpy()
    return found
