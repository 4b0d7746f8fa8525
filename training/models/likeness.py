"""A model's likeness: the same modules and shapes, on tensors that have no memory."""

import copy
from typing import TypeVar

import torch
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensor, FakeTensorMode
from torch.nn import Module

M = TypeVar("M", bound=Module)


def without_memory() -> FakeTensorMode:
    """A mode in which operations yield shapes alone, and raise where they cannot."""
    return FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True)


def likeness(model: M, *, dtype: torch.dtype, device: torch.device) -> M:
    """A copy of a model without memory, on a device, its parameters of a dtype."""
    mode = without_memory()
    with FakeCopyMode(mode):
        alike = copy.deepcopy(model)
    with mode:
        for parameter in alike.parameters():
            parameter.data = parameter.data.to(device, dtype)
        for buffer in alike.buffers():
            buffer.data = buffer.data.to(device)
    return alike


def mode_of(model: Module) -> FakeTensorMode:
    """The mode that a likeness is in; a new one for a model that has memory."""
    for parameter in model.parameters():
        if isinstance(parameter.data, FakeTensor):
            return parameter.data.fake_mode
    return without_memory()
