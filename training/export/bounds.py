"""How far a file may be from the trained model: one table, by what its weights are stored in."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from training.export.spec import WeightType

__all__ = ["EXACT", "ROUNDED", "Bounds", "bounds_of"]


class Bounds(NamedTuple):
    """How far a file may be from the trained model."""

    kl_divergence: float
    top1_agreement: float


EXACT: Final = Bounds(kl_divergence=1e-5, top1_agreement=0.99)
"""For weights stored in fp32 or fp16."""
ROUNDED: Final = Bounds(kl_divergence=1e-2, top1_agreement=0.97)
"""For weights stored in bf16, which keeps 8 bits of each number."""

_BOUNDS: Final[Mapping[str, Bounds]] = {
    "bfloat16": ROUNDED,
    WeightType.INT8: Bounds(kl_divergence=2e-2, top1_agreement=0.95),
}


def bounds_of(dtype: str) -> Bounds:
    """What holds for weights that are stored so."""
    return _BOUNDS.get(dtype, EXACT)
