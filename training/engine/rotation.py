"""Rotary position embedding, forward and backward (Su et al., 2021)."""

from typing import NamedTuple

from torch import Tensor

from training.engine.fusing import kernels_for


class Rotation(NamedTuple):
    """Cosines and sines (T, 1, d / 2) of the angles by which each token's pairs are turned.

    Element j of a head is paired with element j + d / 2.
    """

    cosines: Tensor
    sines: Tensor
    negative_sines: Tensor

    def apply_(self, heads: Tensor) -> None:
        """Turn heads (T, H, d) by their position, in place."""
        _turn(heads, self.cosines, self.sines, self.negative_sines)

    def undo_(self, heads: Tensor) -> None:
        """Turn them back: from the gradient of what `apply_` gave to that of what it took."""
        _turn(heads, self.cosines, self.negative_sines, self.sines)


def _turn(heads: Tensor, cosines: Tensor, sines: Tensor, negative_sines: Tensor) -> None:
    if kernels := kernels_for(heads):
        kernels.turn_(heads, cosines, sines)
        return
    first, second = heads.chunk(2, dim=-1)
    before = first.clone()
    first.mul_(cosines).addcmul_(second, negative_sines)
    second.mul_(cosines).addcmul_(before, sines)
