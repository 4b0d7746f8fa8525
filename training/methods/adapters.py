"""From a base model to one that can be trained, and from a trained one to its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, assert_never

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.config import ADAPTER_METHODS, LoraInitialisation, TrainingConfig, TrainingType
from training.devices.hardware import Hardware
from training.errors import NothingTrainable, TargetModulesNotFound
from training.methods.freezing import freeze_all_but
from training.methods.quantisation import load_quantised, require_bitsandbytes
from training.models.base_models import GENERATION_CONFIG, first_line, load_base
from training.models.modules import (
    has_fused_experts,
    head_and_embeddings,
    inputs_first,
    linear_layers,
)

TrainableModel: TypeAlias = PreTrainedModel | PeftModel


def base_dtype(training_type: TrainingType, hardware: Hardware) -> torch.dtype:
    """What the base is loaded in: as it is computed with where it stays as it is, and in fp32 where
    it is trained, since its masters are made of it. Of a base in 4 bits it is what stays whole."""
    frozen = training_type in ADAPTER_METHODS
    return hardware.dtype if frozen else torch.float32


def load_for_training(
    source: str, training_type: TrainingType, hardware: Hardware
) -> PreTrainedModel:
    """The base in the form that the method trains beside or upon, on the CPU.

    Raises `ModelUnreadable`, and for QLORA `BitsandbytesUnavailable`.
    """
    dtype = base_dtype(training_type, hardware)
    if training_type is TrainingType.QLORA:
        require_bitsandbytes(hardware.device)
        return load_quantised(source, dtype)
    return load_base(source, dtype)


def make_trainable(base: PreTrainedModel, config: TrainingConfig) -> TrainableModel:
    """The model with exactly those parameters trainable that the method trains.

    The base is changed in place. Adapters go to every linear layer but the output head, unless
    `target_modules` names others; the experts of a mixture stay as they are. Raises
    `TargetModulesNotFound`, `NothingTrainable` and what `freeze_all_but` raises.
    """
    model: TrainableModel
    match config.training_type:
        case TrainingType.LORA | TrainingType.QLORA:
            model = _with_lora(base, config)
        case TrainingType.FREEZE:
            model = base
            freeze_all_but(base, layers=config.trainable_layers, embeddings=config.train_embeddings)
        case TrainingType.FULL:
            model = base
        case _ as unknown:
            assert_never(unknown)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise NothingTrainable(config.training_type)
    return model


def save_trained(
    model: TrainableModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    base_name: str,
    folder: Path,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the adapter, or the whole fp32 weights, the tokenizer with its chat template, and at which
    tokens generation stops.

    `base_name` is the public name by which an adapter refers to its base. `state` has the tensors
    to write of an adapter where the model's own are split among processes.
    """
    model.save_pretrained(str(folder), state_dict=dict(state) if state else None)
    tokenizer.save_pretrained(folder)
    generation = causal_model(model).generation_config
    if generation is not None:  # peft writes none, nor the stop tokens that the run has added
        generation.to_json_file(folder / GENERATION_CONFIG)
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


def with_adapter(base: PreTrainedModel, folder: Path, *, name: str = "default") -> PeftModel:
    """The base with a saved adapter beside it, for inference; `name` tells it from others."""
    return PeftModel.from_pretrained(base, str(folder), adapter_name=name)


def causal_model(model: TrainableModel) -> PreTrainedModel:
    """The transformers model below an adapter, or the model itself."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(inner, PreTrainedModel)  # noqa: S101 - peft is untyped here
    return inner


def _with_lora(base: PreTrainedModel, config: TrainingConfig) -> PeftModel:
    names = config.target_modules
    if names:
        _refuse_head_and_embeddings(base, names)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(names) if names else _every_linear_layer(base),
        use_rslora=config.rs_lora,
        use_dora=config.dora,
        init_lora_weights=_INITIALISATIONS[config.lora_initialisation],
        fan_in_fan_out=any(inputs_first(module) for module in base.modules()),
        bias="none",
    )
    try:
        model = get_peft_model(base, lora)
    except ValueError as error:
        raise TargetModulesNotFound(names, first_line(error)) from error
    assert isinstance(model, PeftModel)  # noqa: S101 - peft is untyped here
    return model


def _every_linear_layer(base: PreTrainedModel) -> list[str]:
    """All but the output head, and beside fused experts all but those that peft would take for
    experts by their name, which it cannot adapt with dropout."""
    taken = _NAMES_OF_EXPERTS if has_fused_experts(base) else frozenset()
    return [name for name in linear_layers(base) if name.rpartition(".")[2] not in taken]


_NAMES_OF_EXPERTS: Final = frozenset(
    {"gate", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "gate_up_proj"}
)


def _refuse_head_and_embeddings(base: PreTrainedModel, names: tuple[str, ...]) -> None:
    """They are often one tied parameter, which an adapter on either would part."""
    never = head_and_embeddings(base)
    for path, module in base.named_modules():
        named = any(f".{path}".endswith(f".{name}") for name in names)
        if named and any(module is each for each in never):
            raise TargetModulesNotFound(names, f"the head or embedding {path} is never adapted")


_INITIALISATIONS: Final[Mapping[LoraInitialisation, Literal["gaussian"] | bool]] = {
    LoraInitialisation.KAIMING: True,
    LoraInitialisation.GAUSSIAN: "gaussian",
}
"""By peft's names for them."""
