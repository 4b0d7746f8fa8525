"""A linear layer, with the adapter beside it where one is trained."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor
from torch.nn import Parameter

from training.engine.matrices import Matrix, Plain, Reordered, can_reorder


class Adapter(NamedTuple):
    """Low-rank matrices A (r, in) and B (out, r): y += scaling * B A x (Hu et al., 2021)."""

    down: Parameter
    up: Parameter
    scaling: float

    @property
    def rank(self) -> int:
        """r."""
        return self.down.shape[0]


class Kept(NamedTuple):
    """What the backward pass through the adapters of one input needs; the input itself it makes again."""

    mask: Tensor | None
    """The elements of the input that dropout left to the adapters; None where it left all."""
    boost: float
    """What makes up for the others."""
    low: Tensor | None
    """What the adapters made of the input on its way, side by side: (T, r of all)."""


@dataclass(frozen=True)
class Projection:
    """y = W x + b, W being (out, in), and what an adapter adds to it."""

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
