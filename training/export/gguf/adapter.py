"""A LoRA adapter as a GGUF file of its own, which llama.cpp lays beside its base."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGUFWriter, TensorNameMap, get_tensor_name_map
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig

from training.export.errors import short_writes_named
from training.export.gguf.architectures import target
from training.export.gguf.errors import NotInGguf
from training.export.gguf.naming import safe_name
from training.export.gguf.tensors import interleaved_heads
from training.export.gguf.writing import MODEL_NAME_KEY, Titles

__all__ = ["write_adapter"]

_PREFIX: Final = "base_model.model."
"""peft's, before the name that a layer has in its base."""
_PARTS: Final = {".lora_A.weight": "lora_a", ".lora_B.weight": "lora_b"}


def write_adapter(version: Path, base: Path, path: Path, titles: Titles) -> None:
    """Write the adapter that a run left, for the base in a folder, in fp32.

    Raises `NotInGguf` for what is more than two matrices beside linear layers.
    """
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    arch = target(config)
    settings: Mapping[str, Any] = json.loads((version / "adapter_config.json").read_bytes())
    _refuse_more_than_lora(settings)
    tensors = list(_tensors(version, get_tensor_name_map(arch, config.num_hidden_layers)))
    writer = _opened(path, arch, titles, alpha=_alpha(settings))
    with closing(writer), short_writes_named():
        for tensor in tensors:
            values = tensor.values.float()
            if tensor.part == "lora_b":  # its rows are those of the layer
                values = interleaved_heads(config, tensor.layer, values)
            writer.add_tensor(f"{tensor.name}.{tensor.part}", values.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


class _Part(NamedTuple):
    layer: str
    """In the base, as transformers calls its weight."""
    name: str
    """The same, as llama.cpp calls it."""
    part: str
    values: Tensor


def _tensors(version: Path, names: TensorNameMap) -> Iterator[_Part]:
    for source, values in sorted(load_file(version / "adapter_model.safetensors").items()):
        ending = next((each for each in _PARTS if source.endswith(each)), None)
        if ending is None:
            raise NotInGguf(f"its adapter has a tensor {source}, which is of no linear layer")
        layer = source.removeprefix(_PREFIX).removesuffix(ending) + ".weight"
        name = names.get_name(layer, try_suffixes=(".weight",))
        if name is None:
            raise NotInGguf(f"llama.cpp has no place for its layer {layer}")
        yield _Part(layer, name, _PARTS[ending], values)


def _opened(path: Path, arch: MODEL_ARCH, titles: Titles, *, alpha: float) -> GGUFWriter:
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[arch])
    writer.add_type("adapter")
    writer.add_name(safe_name(titles.model_name))
    writer.add_string(MODEL_NAME_KEY, titles.model_name)
    if titles.licence is not None:
        writer.add_license(titles.licence)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, titles.base_name)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    return writer


def _refuse_more_than_lora(settings: Mapping[str, Any]) -> None:
    for name in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save"):
        if settings.get(name):
            raise NotInGguf(f"its adapter sets {name}, and llama.cpp knows plain LoRA")


def _alpha(settings: Mapping[str, Any]) -> float:
    """What llama.cpp divides by the rank, where rsLoRA divides by the root of it."""
    alpha, rank = float(settings["lora_alpha"]), int(settings["r"])
    return alpha * math.sqrt(rank) if settings.get("use_rslora") else alpha
