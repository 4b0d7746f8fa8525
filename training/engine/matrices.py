"""Weight matrices as projections multiply with them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows


class Matrix(Protocol):
    """W (out, in)."""

    def apply(self, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b, (T, out), in memory of its own."""

    def pull_back(self, gradient: Tensor, total: Tensor | None) -> Tensor:
        """`total`, which is used up, plus g W, (T, in)."""


class Plain(NamedTuple):
    """A matrix as it is stored. `weight` gives it in the dtype computed in, dequantised if need be."""

    weight: Callable[[], Tensor]
    is_stored: bool = True
    """Whether `weight` gives a tensor that is held anyway."""

    def apply(self, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b."""
        return F.linear(inputs, self.weight(), bias)

    def pull_back(self, gradient: Tensor, total: Tensor | None) -> Tensor:
        """`total` plus g W."""
        if total is None:
            return torch.mm(gradient, self.weight())
        return total.addmm_(gradient, self.weight())


class Reordered(NamedTuple):
    """A frozen matrix in bf16, copied for either direction into the order in which a CPU's kernels
    read it. Else they reorder it at every product, which is a tenth of the product's time."""

    forward: Tensor
    backward: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> "Reordered":
        """The copies, which together take twice the memory of the matrix."""
        with torch.no_grad():
            return cls(*(_reordered(each.contiguous()) for each in (weight, weight.t())))

    def apply(self, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b."""
        return _product(inputs, self.forward, bias)

    def pull_back(self, gradient: Tensor, total: Tensor | None) -> Tensor:
        """`total` plus g W."""
        if total is None:
            return _product(gradient, self.backward, None)
        return _product_added(gradient, total, self.backward)


def can_reorder(weight: Tensor) -> bool:
    """Whether there are kernels that read such a matrix reordered."""
    return (
        weight.device.type == "cpu"
        and weight.dtype is torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


# The operations that torch's own compiler uses for linear layers whose weights are frozen.


def _reordered(weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return found


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(
        inputs.contiguous(), weight, bias, "none", [], ""
    )
    return found


def _product_added(inputs: Tensor, total: Tensor, weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
        inputs.contiguous(), total, weight, None, "add"
    )
    return found
