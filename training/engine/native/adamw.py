"""AdamW (Loshchilov and Hutter, 2019) on all weights of a model at once, on a CPU.

torch goes through memory once for each thing that is done to gradients, and starts its threads for each
weight anew. Here gradients are added up and measured in one pass, and weights are moved in another.
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_double, c_int64, c_void_p
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from training.engine.native.library import library


class Weight(NamedTuple):
    """Tensors of the same elements, and what else there is to know to move them."""

    master: Tensor
    average: Tensor
    """Of its gradients."""
    square: Tensor
    """The average of their squares."""
    computed: Tensor
    """What the model computes with; the master itself where that is it."""
    gradients: Sequence[Tensor]
    """The parts of its gradient, at least one."""
    step: Tensor
    """How often it was moved, a single number."""
    decay: float


class Settings(ctypes.Structure):
    """What is the same for all weights."""

    _fields_ = tuple((name, c_double) for name in ("rate", "beta1", "beta2", "epsilon"))


def serves(masters: Iterable[Tensor], computed: Iterable[Tensor]) -> bool:
    """Whether there are kernels for weights, given what is moved and what the model computes with."""
    return (
        library().kernels is not None
        and all(map(_is_wide, masters))
        and all(_is_wide(each) or _lies_here(each, torch.bfloat16) for each in computed)
    )


class Table:
    """Weights as the kernels find them, for as long as none of the tensors lies elsewhere."""

    def __init__(self, weights: Sequence[Weight]) -> None:
        """Raises ValueError for tensors that are not as the kernels take them."""
        for each in weights:
            _raise_unless_served(each)
        self._kept = tuple(weights)
        self._count = len(weights)
        self._parts_each = max((len(each.gradients) for each in weights), default=0)
        self._rows = (_Row * self._count)(*map(_row, weights))
        self._parts = (c_void_p * (self._count * self._parts_each))()
        for place, weight in enumerate(weights):
            for number, part in enumerate(weight.gradients):
                self._parts[place * self._parts_each + number] = part.data_ptr()

    def add_up(self) -> float:
        """Add each gradient's parts to the first of them: the norm of all gradients, which is the same for
        any number of threads."""
        return self._run("add_up_gradients")

    def move(self, settings: Settings, *, clip: float) -> None:
        """Move the weights by their gradients times `clip`."""
        self._run("adamw", clip, ctypes.byref(settings))

    def _run(self, name: str, *settings: object) -> float:
        kernel: Callable[..., float] = getattr(library().kernels, name)
        table = (self._rows, self._parts, self._count, self._parts_each)
        return kernel(*table, *settings, torch.get_num_threads())


class _Row(ctypes.Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("master", "average", "square", "step", "narrow", "wide")),
        ("size", c_int64),
        ("decay", c_double),
    )


def _row(weight: Weight) -> _Row:
    computed = None if weight.computed is weight.master else weight.computed.data_ptr()
    is_narrow = weight.computed.dtype is torch.bfloat16
    return _Row(
        weight.master.data_ptr(),
        weight.average.data_ptr(),
        weight.square.data_ptr(),
        weight.step.data_ptr(),
        computed if is_narrow else None,
        None if is_narrow else computed,
        weight.master.numel(),
        weight.decay,
    )


def _raise_unless_served(weight: Weight) -> None:
    wide = (weight.master, weight.average, weight.square, *weight.gradients)
    if not serves((*wide, weight.step), [weight.computed]):
        raise ValueError("weights are moved in fp32, without gaps, on a CPU")
    if {each.numel() for each in (*wide, weight.computed)} != {weight.master.numel()}:
        raise ValueError("a weight and what moves with it have equally many elements")


def _is_wide(tensor: Tensor) -> bool:
    return _lies_here(tensor, torch.float32)


def _lies_here(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether a tensor's elements are of a type and in this process's memory, one after the other."""
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.device.type == "cpu"
        and tensor.dtype is dtype
        and tensor.is_contiguous()
    )
