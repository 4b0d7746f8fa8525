"""A trained version as one state_dict that is loaded without running code, beside its configuration."""

from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError
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
    _save(model, folder / WEIGHTS)
    write_configuration(model, folder)
    load_tokenizer(spec.version_path).save_pretrained(folder)
    write_card(spec, folder, usage=_LOADING + generation(spec), library="transformers")


def _save(model: PreTrainedModel, path: Path) -> None:
    """Write the state_dict. A full disk is an OSError: torch, given a path, would not say what it was,
    and given a file, says it behind an error of its own."""
    try:
        with path.open("wb") as file:
            torch.save(dict(model.state_dict()), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


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
    except UnpicklingError as error:
        raise ModelUnreadable(folder.name, f"{WEIGHTS} holds more than tensors") from error
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
