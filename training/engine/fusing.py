"""Where the small operations between matrix products go through one kernel instead of several."""

from importlib.util import find_spec
from typing import Final, Protocol

from torch import Tensor

from training.engine.native import kernels as native

_HAS_TRITON: Final = find_spec("triton") is not None


class Kernels(Protocol):
    """What there is on every device; on a GPU by Triton, on a CPU compiled where it runs."""

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        """silu(gate) * up."""

    def gated_backward_(
        self, by_product: Tensor, gate: Tensor, up: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The gradients of gate and up from that of `gated`, in the memory of both."""

    def turn_(self, heads: Tensor, cosines: Tensor, sines: Tensor) -> None:
        """Turn the pairs (j, j + d / 2) of heads (T, H, d) by angles (T, 1, d / 2), in place."""

    def cross_entropy_(
        self, logits: Tensor, targets: Tensor, *, factor: float | Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Each token's loss, and whether its likeliest prediction is right; `logits`, to be multiplied
        by `scale`, become `factor` times the losses' gradient, before that multiplication."""


def kernels_for(tensor: Tensor) -> Kernels | None:
    """The kernels for tensors of this one's kind, where there are any."""
    if tensor.is_cuda:
        return _of_triton() if _HAS_TRITON else None
    return native if native.serves(tensor) else None


def _of_triton() -> Kernels:
    from training.engine import kernels  # Triton, which only a GPU has

    return kernels
