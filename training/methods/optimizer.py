"""AdamW as every method uses it, and its state as plain named tensors."""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import Parameter

from training.config import Optimizer, TrainingConfig
from training.devices.parts import like
from training.methods.quantisation import require_bitsandbytes

PAGED: Final = (Optimizer.PAGED_ADAMW, Optimizer.PAGED_ADAMW_8BIT)
"""Those whose state moves to main memory when a GPU's is full; on a CPU there is nothing to move."""
_EIGHT_BIT: Final = (Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT)


def make_optimizer(
    parameters: Mapping[str, Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only: norms and biases are left alone.

    Raises `BitsandbytesUnavailable` where the optimizer asked for does not work on the device.
    """
    matrices = [each for each in parameters.values() if each.ndim >= 2]
    vectors = [each for each in parameters.values() if each.ndim < 2]
    named = (
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    )
    groups = [group for group in named if group["params"]]
    if config.optimizer is Optimizer.ADAMW:
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    device = next(iter(parameters.values())).device.type
    return _bitsandbytes_adamw(groups, config, device=device)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory, keyed `<index>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": tensor
        for index, entry in state.items()
        for name, tensor in _tensors(entry).items()
    }


def memory_of(optimizer: torch.optim.AdamW, parameter: Parameter) -> dict[str, Tensor]:
    """A parameter's memory, made as torch makes it when there first is a gradient."""
    memory: dict[str, Tensor] = optimizer.state[parameter]
    if not memory:
        memory["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        memory["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        memory["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return memory


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give a fresh optimizer the memory that `optimizer_tensors` returned."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor | int]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        counts = tensor.dtype is torch.int64
        own = int(tensor) if counts else like(parameters[int(index)], tensor)
        state.setdefault(int(index), {})[name] = own
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _bitsandbytes_adamw(
    groups: Sequence[Mapping[str, object]], config: TrainingConfig, *, device: str
) -> torch.optim.Optimizer:
    require_bitsandbytes(device)
    from bitsandbytes.optim.adamw import AdamW, AdamW8bit  # see `require_bitsandbytes`

    kind = AdamW8bit if config.optimizer in _EIGHT_BIT else AdamW
    paged = config.optimizer in PAGED and device != "cpu"
    optimizer = kind(list(groups), lr=config.learning_rate, is_paged=paged)
    assert isinstance(optimizer, torch.optim.Optimizer)  # noqa: S101 - bitsandbytes is untyped here
    return optimizer


def _tensors(entry: Mapping[str, object]) -> dict[str, Tensor]:
    """The memory of one parameter. bitsandbytes counts its steps in a plain number, nests what is
    quantised, and shares each table of quantised values among all parameters, which no file of
    tensors can."""
    tensors: dict[str, Tensor] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            tensors |= _tensors(value)
        elif isinstance(value, Tensor):
            tensors[name] = value.clone() if name.startswith("qmap") else value
        else:
            tensors[name] = torch.tensor(value, dtype=torch.int64)
    return tensors
