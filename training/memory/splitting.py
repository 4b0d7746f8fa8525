"""What a process holds of a model that is split (FSDP2), beside its own part of each tensor."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from torch.nn import Parameter

from training.config import Optimizer
from training.devices.hardware import Hardware
from training.devices.layout import Layout
from training.devices.memory import size_of
from training.devices.parts import own_part
from training.devices.world import World
from training.estimates import optimizer_bytes

_LAYERS: Final = 3
"""Layers' worth of weights at once in a backward pass: one that computes, the next one gathered, and
what that was gathered into before it was taken apart."""
_FP32: Final = 4
_KEPT_BYTES: Final = 32 * 2**20
"""What is larger is mapped by glibc for itself, and given back to the system when it is free."""


class Split(NamedTuple):
    """Bytes that come and go because a model is split."""

    gathered: int = 0
    """Of weights, amid a pass: what lies outside of the layers, and of those the largest."""
    gradients: int = 0
    """Of a pass: this process's part of its own, and those that are there whole, as they are
    computed and in fp32, until all processes' are added up."""
    saved: int = 0
    """For a checkpoint, which the leader gathers whole in main memory."""


def split_of(
    layout: Layout,
    masters: Mapping[str, Parameter],
    *,
    optimizer: Optimizer,
    hardware: Hardware,
    world: World,
) -> Split:
    """What this process will hold, in the memory that the hardware trains in."""
    on_cpu = hardware.device == "cpu"
    width = hardware.dtype.itemsize
    # A CPU's allocator may keep what the outermost weights were gathered into at the pass's beginning.
    kept = on_cpu and width * layout.outermost <= _KEPT_BYTES
    outermost = (2 if kept else 1) * layout.outermost
    whole = layout.trained_outermost + layout.trained_layer
    sizes = [each.numel() for each in masters.values()]
    saves = on_cpu and world.leads
    return Split(
        gathered=width * (outermost + _LAYERS * layout.layer),
        gradients=size_of(map(own_part, masters.values())) + (width + _FP32) * whole,
        saved=_FP32 * sum(sizes) + optimizer_bytes(optimizer, sizes) if saves else 0,
    )
