"""A linear layer, with the adapter beside it where one is trained, forward and backward."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.dropout import masked
from training.engine.gradients import Gradients
from training.engine.matrices import Matrix, Plain, Reordered, can_reorder


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
    """y = W x + b, W being (out, in)."""

    matrix: Matrix
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

    @property
    def is_plain(self) -> bool:
        """Whether its matrix is frozen, and could be copied into the order that kernels like."""
        matrix = self.matrix
        return (
            isinstance(matrix, Plain)
            and matrix.is_stored
            and self.trained_weight is None
            and can_reorder(matrix.weight())
        )

    @property
    def plain_weight(self) -> Tensor:
        """The matrix as it is stored; only where it `is_plain`."""
        assert isinstance(self.matrix, Plain)  # noqa: S101 - as said
        return self.matrix.weight()

    def reordered(self) -> "Projection":
        """The same with its frozen matrix copied into that order."""
        return replace(self, matrix=Reordered.of(self.plain_weight))

    def forward(self, shared: Shared) -> tuple[Tensor, Tensor | None]:
        """Outputs (T, out), and what the adapter made of the input on its way (T, r)."""
        out = self.matrix.apply(shared.plain, self.bias)
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
        sink.add(gradient, self.matrix)
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

    def add(self, gradient: Tensor, matrix: Matrix) -> None:
        """Add `gradient @ matrix`."""
        self._plain = matrix.pull_back(gradient, self._plain)

    def add_dropped(self, gradient: Tensor, weight: Tensor) -> None:
        """Add `gradient @ weight`, the gradient of the input behind dropout."""
        matrix = Plain(lambda: weight)
        if self.shared.mask is None:
            self._plain = matrix.pull_back(gradient, self._plain)
        else:
            self._dropped = matrix.pull_back(gradient, self._dropped)

    def total(self) -> Tensor:
        """The gradient of the input."""
        assert self._plain is not None  # noqa: S101 - every projection has a weight
        if self._dropped is not None:
            self._plain.add_(masked(self._dropped, self.shared.mask))
        return self._plain


def reordered_bytes(projections: Iterable[Projection]) -> int:
    """What the copies of their matrices would take."""
    return sum(2 * each.plain_weight.nbytes for each in projections)
