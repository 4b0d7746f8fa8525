"""silu(gate) * up, forward and backward (Shazeer, 2020)."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.fusing import kernels_for


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """The product."""
    if kernels := kernels_for(gate):
        return kernels.gated(gate, up)
    return F.silu(gate).mul_(up)


def again(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor | None]:
    """The product, and silu(gate) where `gated_backward` is the faster for it."""
    if kernels := kernels_for(gate):
        return kernels.gated(gate, up), None
    active = F.silu(gate)
    return active * up, active


def gated_backward(
    by_product: Tensor, gate: Tensor, up: Tensor, active: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gradients of gate and up from that of the product; all that is given is used up."""
    if active is None and (kernels := kernels_for(gate)):
        return kernels.gated_backward_(by_product, gate, up)
    by_up = (F.silu(gate) if active is None else active).mul_(by_product)
    by_gate: Tensor = torch.ops.aten.silu_backward(by_product.mul_(up), gate)
    return by_gate, by_up
