"""AdamW as every method uses it, and its state as plain named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

from training.config import TrainingConfig
from training.sharding import like


def make_optimizer(
    parameters: Mapping[str, Parameter], config: TrainingConfig
) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only: norms and biases are left alone."""
    matrices = [each for each in parameters.values() if each.ndim >= 2]
    vectors = [each for each in parameters.values() if each.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.learning_rate, fused=True
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory, keyed `<index>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": tensor
        for index, entry in state.items()
        for name, tensor in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give a fresh optimizer the memory that `optimizer_tensors` returned."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = like(parameters[int(index)], tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
