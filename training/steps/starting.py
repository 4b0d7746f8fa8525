"""Starting from trained weights: a version's, or a checkpoint's of another run.

A version that holds whole weights takes the base model's place. An adapter, and a checkpoint, which
holds the trained parameters alone, is laid over the model that was made trainable.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from training.config import JobSpec, Start, StartKind
from training.errors import StartUnusable
from training.files import damage
from training.methods.adapters import TrainableModel
from training.models.tokenizers import first_line

_ADAPTER: str = "adapter_config.json"


def base_source(spec: JobSpec) -> str:
    """Where the weights come from that are not trained, or trained on: a folder or hub id.

    Raises `StartUnusable` where the folder to start from is not what was written there.
    """
    start = spec.start
    if start is None:
        return spec.model_path
    reason = damage(Path(start.path))
    if reason is not None:
        raise StartUnusable(start.name, reason)
    return start.path if _is_whole(start) else spec.model_path


def start_from(model: TrainableModel, start: Start) -> None:
    """Set the trainable parameters to those of the start. Raises `StartUnusable` where they do not
    fit one another by name and shape."""
    if _is_whole(start):
        return  # the model was made of it
    if start.kind is StartKind.VERSION:
        _take_adapter(model, start)
        return
    weights = load_file(Path(start.path) / "weights.safetensors")
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    _refuse_misfit(start, weights, trained)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])


def _is_whole(start: Start) -> bool:
    return start.kind is StartKind.VERSION and not (Path(start.path) / _ADAPTER).is_file()


def _take_adapter(model: TrainableModel, start: Start) -> None:
    if not isinstance(model, PeftModel):
        raise StartUnusable(start.name, "it is an adapter, and this run trains none")
    weights: dict[str, Tensor] = load_peft_weights(start.path, device="cpu")
    wanted = get_peft_model_state_dict(model)
    if weights.keys() != wanted.keys():
        raise StartUnusable(start.name, _difference(set(weights), set(wanted)))
    try:
        set_peft_model_state_dict(model, weights)
    except RuntimeError as error:
        raise StartUnusable(start.name, f"its shapes differ: {first_line(error)}") from error


def _refuse_misfit(
    start: Start, weights: Mapping[str, Tensor], trained: Mapping[str, Tensor]
) -> None:
    if weights.keys() != trained.keys():
        raise StartUnusable(start.name, _difference(set(weights), set(trained)))
    for name, parameter in trained.items():
        there, here = tuple(weights[name].shape), tuple(parameter.shape)
        if there != here:
            raise StartUnusable(start.name, f"{name} has shape {there} there and {here} here")


def _difference(there: set[str], here: set[str]) -> str:
    names = sorted(there ^ here)
    return f"{len(names)} weights are only there or only here, such as {names[0]}"
