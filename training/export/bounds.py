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

FULL: Final = Bounds(kl_divergence=1e-8, top1_agreement=0.999)
"""For GGUF in fp32. A model of 135 million parameters came to 4e-11."""

HALF: Final = Bounds(kl_divergence=5e-5, top1_agreement=0.99)
"""For GGUF in fp16: llama.cpp rounds to it what it multiplies with the weights, too. A model of 135 million
parameters that was tuned to be sure of itself was 1.7e-5 away, and by its rounded weights alone 0.8e-5."""

_BOUNDS: Final[Mapping[str, Bounds]] = {
    "bfloat16": ROUNDED,
    WeightType.INT8: Bounds(kl_divergence=2e-2, top1_agreement=0.95),
    WeightType.F32: FULL,
    WeightType.F16: HALF,
    WeightType.BF16: ROUNDED,
    # What follows is made of a file in fp32 that was within its own bounds before.
    WeightType.Q8_0: Bounds(kl_divergence=5e-2, top1_agreement=0.9),
    WeightType.Q6_K: Bounds(kl_divergence=0.15, top1_agreement=0.8),
    WeightType.Q5_K_M: Bounds(kl_divergence=0.5, top1_agreement=0.65),
    WeightType.Q4_K_M: Bounds(kl_divergence=0.5, top1_agreement=0.65),
    WeightType.Q4_0: Bounds(kl_divergence=1.0, top1_agreement=0.5),
}


def bounds_of(dtype: str, *, gelu_from_table: bool = False) -> Bounds:
    """What holds for weights that are stored so, and for GGUF where llama.cpp takes the model's
    activation from a table in fp16: that alone came to 1e-6 in twelve layers."""
    if dtype == WeightType.F32 and gelu_from_table:
        return EXACT
    return _BOUNDS.get(dtype, EXACT)
