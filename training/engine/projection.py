"""A linear layer, with the adapter beside it where one is trained, forward and backward."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.dropout import masked
from training.engine.gradients import Gradients


class Adapter(NamedTuple):
    """Low-rank matrices A (r, in) and B (out, r): y += scaling * B A x (Hu et al., 2021)."""

    down: Parameter
    up: Parameter
    scaling: float


class Shared(NamedTuple):
    """An input (T, in) that several projections take, and how their adapters take it."""

    plain: Tensor
    dropped: Tensor
    """Without the elements that dropout took."""
    mask: Tensor | None
    boost: float
    """What makes up for those elements."""


class Kept(NamedTuple):
    """Of a `Shared`, what the backward pass needs; the input itself it makes again."""

    mask: Tensor | None
    boost: float
    lows: tuple[Tensor | None, ...]
    """What each adapter made of it on its way, (T, r)."""


@dataclass(frozen=True)
class Projection:
    """y = W x + b. `weight` gives W (out, in) in the dtype computed in, dequantised if need be."""

    weight: Callable[[], Tensor]
    bias: Tensor | None
    trained_weight: Parameter | None
    trained_bias: Parameter | None
    adapter: Adapter | None

    @property
    def is_trained(self) -> bool:
        """Whether any parameter of it moves."""
        return any(
            each is not None for each in (self.trained_weight, self.trained_bias, self.adapter)
        )

    def forward(self, shared: Shared) -> tuple[Tensor, Tensor | None]:
        """Outputs (T, out), and what the adapter made of the input on its way (T, r)."""
        out = F.linear(shared.plain, self.weight(), self.bias)
        if self.adapter is None:
            return out, None
        scaling = self.adapter.scaling * shared.boost
        low = F.linear(shared.dropped, self.adapter.down).mul_(scaling)
        return out.addmm_(low, self.adapter.up.t()), low

    def backward(self, gradient: Tensor, low: Tensor | None, sink: "Sink") -> None:
        """Add the gradients of the input and of what is trained to the sink."""
        if self.trained_weight is not None:
            sink.gradients.add(self.trained_weight, gradient.t() @ sink.shared.plain)
        if self.trained_bias is not None:
            sink.gradients.add(self.trained_bias, gradient.sum(0))
        sink.add(gradient, self.weight())
        if self.adapter is not None and low is not None:
            inner = gradient @ self.adapter.up
            inner.mul_(self.adapter.scaling * sink.shared.boost)
            sink.gradients.add(self.adapter.up, gradient.t() @ low)
            sink.gradients.add(self.adapter.down, inner.t() @ sink.shared.dropped)
            sink.add_dropped(inner, self.adapter.down)


class Sink:
    """Where the projections of one input leave its gradient, (T, in), and those of their weights."""

    def __init__(self, gradients: Gradients, shared: Shared) -> None:
        self.gradients = gradients
        self.shared = shared
        self._plain: Tensor | None = None
        self._dropped: Tensor | None = None

    def add(self, gradient: Tensor, weight: Tensor) -> None:
        """Add `gradient @ weight`."""
        self._plain = _product_added(self._plain, gradient, weight)

    def add_dropped(self, gradient: Tensor, weight: Tensor) -> None:
        """Add `gradient @ weight`, the gradient of the input behind dropout."""
        if self.shared.mask is None:
            self.add(gradient, weight)
        else:
            self._dropped = _product_added(self._dropped, gradient, weight)

    def total(self) -> Tensor:
        """The gradient of the input."""
        assert self._plain is not None  # noqa: S101 - every projection has a weight
        if self._dropped is not None:
            self._plain.add_(masked(self._dropped, self.shared.mask))
        return self._plain


def _product_added(total: Tensor | None, gradient: Tensor, weight: Tensor) -> Tensor:
    if total is None:
        return torch.mm(gradient, weight)
    return total.addmm_(gradient, weight)
