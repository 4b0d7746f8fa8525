"""Rotary position embedding, forward and backward (Su et al., 2021)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Cosines and sines (T, 1, d / 2) of the angles by which each token's pairs are turned.

    Element j of a head is paired with element j + d / 2.
    """

    cosines: Tensor
    sines: Tensor
    negative_sines: Tensor

    def apply(self, heads: Tensor) -> Tensor:
        """Heads (T, H, d), turned by their position."""
        return _turned(heads, self.cosines, self.sines, self.negative_sines)

    def undo(self, heads: Tensor) -> Tensor:
        """The gradient of what `apply` took from that of what it gave: turned back."""
        return _turned(heads, self.cosines, self.negative_sines, self.sines)


def _turned(heads: Tensor, cosines: Tensor, sines: Tensor, negative_sines: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    turned = torch.empty_like(heads)
    left, right = turned.chunk(2, dim=-1)
    torch.mul(first, cosines, out=left).addcmul_(second, negative_sines)
    torch.mul(second, cosines, out=right).addcmul_(first, sines)
    return turned
