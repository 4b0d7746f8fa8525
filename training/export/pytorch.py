"""A trained version as one state_dict that is loaded without running code, beside its configuration."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import storage_ptr
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from training.errors import ModelUnreadable
from training.export.cards import generation, write_card
from training.export.exporters import Tensor, tallied
from training.export.merging import in_stored_type, whole_model
from training.export.spec import ExportSpec, StoredType
from training.models.base_models import first_line, load_tokenizer, take_generation_config

__all__ = ["WEIGHTS", "asker", "load", "stored", "write"]

WEIGHTS: Final = "pytorch_model.bin"
"""By transformers' name for it, which is part of the bytes: a state_dict's file holds its own name."""

_of_config: Final[Callable[..., PreTrainedModel]] = AutoModelForCausalLM.from_config


def write(spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
    """Write a folder whose weights `torch.load` reads with `weights_only`; tied ones are there once,
    under both of their names."""
    model = whole_model(spec)
    in_stored_type(model, spec, full_precision=full_precision)
    with (folder / WEIGHTS).open("wb") as file:  # by its path, a full disk would have no name
        torch.save(dict(model.state_dict()), file)
    write_configuration(model, folder)
    load_tokenizer(spec.version_path).save_pretrained(folder)
    write_card(spec, folder, usage=_LOADING + generation(spec), library="transformers")


def write_configuration(model: PreTrainedModel, folder: Path) -> None:
    """Write what a model folder has beside weights and tokenizer."""
    model.config.architectures = [type(model).__name__]
    model.config.dtype = model.dtype
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def asker(spec: ExportSpec, folder: Path) -> list[str]:
    """torch, and for the architecture transformers."""
    del spec
    return ["training.export.answers", str(folder), "--state-dict"]


def load(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a folder, on the CPU. Raises `ModelUnreadable`."""
    try:
        weights = torch.load(folder / WEIGHTS, weights_only=True, mmap=True)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = _of_config(config, dtype=dtype)
        model.load_state_dict(weights)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelUnreadable(folder.name, first_line(error)) from error
    take_generation_config(model, folder)
    return model


def stored(folder: Path) -> tuple[StoredType, ...]:
    """By the file's own tensors, of which no value is read."""
    return tallied(_tensors(folder))


def _tensors(folder: Path) -> Iterator[Tensor]:
    seen: set[int] = set()
    weights = torch.load(folder / WEIGHTS, weights_only=True, mmap=True)
    for tensor in weights.values():
        place = storage_ptr(tensor)
        if place not in seen:
            seen.add(place)
            kind = str(tensor.dtype).removeprefix("torch.")
            yield Tensor(kind, tensor.numel(), tensor.numel() * tensor.element_size())


_LOADING: Final = f"""\
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).eval()
model.load_state_dict(torch.load(f"{{folder}}/{WEIGHTS}", weights_only=True))
model.generation_config = GenerationConfig.from_pretrained(folder)

"""
