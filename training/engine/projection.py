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
        return len(self.down)


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
