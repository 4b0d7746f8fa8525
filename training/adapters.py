"""From a base model to one that can be trained, and from a trained one to its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.base_models import first_line
from training.config import TrainingConfig, TrainingType
from training.errors import TargetModulesNotFound, TrainingError
from training.hardware import Hardware

TrainableModel: TypeAlias = PreTrainedModel | PeftModel


def base_dtype(training_type: TrainingType, hardware: Hardware) -> torch.dtype:
    """What the base is loaded in: as it is computed with where it stays as it is, and in fp32 where
    it is trained, since its masters are made of it."""
    frozen = training_type is TrainingType.LORA
    return hardware.dtype if frozen else torch.float32


def make_trainable(base: PreTrainedModel, config: TrainingConfig) -> TrainableModel:
    """The model with exactly those parameters trainable that the method trains.

    The base is changed in place. LoRA adapts every linear layer but the output head, unless
    `target_modules` names others. Raises `TargetModulesNotFound`.
    """
    match config.training_type:
        case TrainingType.LORA:
            return _with_lora(base, config)
        case TrainingType.FULL:
            return base
    raise TrainingError(
        "METHOD_UNAVAILABLE",
        f"The training type {config.training_type} is not available here.",
        "Use one of LORA, FULL.",
    )


def save_trained(
    model: TrainableModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    base_name: str,
    folder: Path,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the adapter, or the whole fp32 weights, and the tokenizer with its chat template.

    `base_name` is the public name by which an adapter refers to its base. `state` has the tensors
    to write where the model's own are split among processes.
    """
    model.save_pretrained(str(folder), state_dict=dict(state) if state else None)
    tokenizer.save_pretrained(folder)
    if isinstance(model, PeftModel):
        (folder / "README.md").unlink(missing_ok=True)  # peft's card template, all blanks
        path = folder / "adapter_config.json"
        adapter = json.loads(path.read_text()) | {"base_model_name_or_path": base_name}
        path.write_text(json.dumps(adapter, indent=2, sort_keys=True) + "\n")


def merged(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The base with a saved adapter merged into it, in the base's dtype."""
    adapted = PeftModel.from_pretrained(base, str(folder))
    model = adapted.merge_and_unload(safe_merge=True)
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - peft is untyped here
    return model


def with_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """The base with a saved adapter beside it, for inference."""
    return PeftModel.from_pretrained(base, str(folder))


def causal_model(model: TrainableModel) -> PreTrainedModel:
    """The transformers model below an adapter, or the model itself."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(inner, PreTrainedModel)  # noqa: S101 - peft is untyped here
    return inner


def _with_lora(base: PreTrainedModel, config: TrainingConfig) -> PeftModel:
    names = config.target_modules
    if names and any(name.split(".")[-1] == "lm_head" for name in names):
        raise TargetModulesNotFound(names, "the output head lm_head is never adapted")
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(names) if names else "all-linear",
        bias="none",
    )
    try:
        model = get_peft_model(base, lora)
    except ValueError as error:
        raise TargetModulesNotFound(names or ("all-linear",), first_line(error)) from error
    assert isinstance(model, PeftModel)  # noqa: S101 - peft is untyped here
    return model
