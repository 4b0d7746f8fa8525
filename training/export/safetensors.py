"""A trained version as plain safetensors: the adapter merged into its base, or the adapter alone."""

import json
import shutil
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Final

from safetensors import safe_open

from training.export.cards import base_name, generation, write_card
from training.export.exporters import Tensor, tallied
from training.export.merging import in_stored_type, whole_model
from training.export.spec import ExportSpec, StoredType
from training.models.base_models import GENERATION_CONFIG, load_tokenizer
from training.models.weights import stored_weights, weight_files

__all__ = ["asker", "parameters_in", "stored", "write"]


def write(spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
    """Write a folder that transformers loads by itself, or with `adapter_only` beside its base."""
    if spec.adapter_only:
        _copy_adapter(Path(spec.version_path), folder)
    else:
        model = whole_model(spec)
        in_stored_type(model, spec, full_precision=full_precision)
        model.save_pretrained(folder, max_shard_size=spec.shard_bytes)
        load_tokenizer(spec.version_path).save_pretrained(folder)
    library = "peft" if spec.adapter_only else "transformers"
    write_card(spec, folder, usage=_usage(spec), library=library)


def asker(spec: ExportSpec, folder: Path) -> list[str]:
    """transformers, and for an adapter peft."""
    command = ["training.export.answers", str(folder)]
    if spec.adapter_only:
        command += ["--base", spec.model_path, *(["--quantised"] if spec.quantised else [])]
    return command


def stored(folder: Path) -> tuple[StoredType, ...]:
    """By the headers of the files."""
    return tallied(_tensors(folder))


def parameters_in(folder: Path) -> int:
    """Elements over all weights of a folder, tied ones once."""
    return sum(prod(shape) for shape in stored_weights(folder).shapes.values())


def _tensors(folder: Path) -> Iterator[Tensor]:
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                part = file.get_slice(name)
                kind, bits = _TYPES[part.get_dtype()]
                parameters = prod(part.get_shape())
                yield Tensor(kind, parameters, parameters * bits // 8)


_TYPES: Final = {
    "F64": ("float64", 64),
    "F32": ("float32", 32),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
}


def _copy_adapter(version: Path, folder: Path) -> None:
    for path in sorted(version.iterdir()):
        if path.name != "manifest.json":
            shutil.copyfile(path, folder / path.name)


def _usage(spec: ExportSpec) -> str:
    loading = _MODEL_LOADING
    if spec.adapter_only:
        loading = _QUANTISED_LOADING if spec.quantised else _ADAPTER_LOADING
    if not (Path(spec.version_path) / GENERATION_CONFIG).is_file():
        loading = loading.replace(_STOPPING, "")
    return loading.replace('"BASE"', json.dumps(base_name(spec))) + generation(spec)


_MODEL_LOADING: Final = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)

"""

_STOPPING: Final = "model.generation_config = GenerationConfig.from_pretrained(folder)\n"
"""Left out for a version that was stored before this was kept."""

_ADAPTER_LOADING: Final = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("BASE"), folder)
model.generation_config = GenerationConfig.from_pretrained(folder)

"""

_QUANTISED_LOADING: Final = """\
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
)

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
nf4 = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
)
base = AutoModelForCausalLM.from_pretrained("BASE", quantization_config=nf4)
model = PeftModel.from_pretrained(base, folder)
model.generation_config = GenerationConfig.from_pretrained(folder)

"""
