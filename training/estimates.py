"""What a run will need, told before it is paid for, and how that is said."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from training.config import Frozen, Optimizer

_EIGHT_BIT: Final = frozenset({Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT})
_SMALLEST_IN_EIGHT_BITS: Final = 4096
"""Elements below which bitsandbytes holds a parameter's moments in fp32."""


CPU_SLACK: Final = 1.37
"""What a CPU process holds of memory that comes and goes, for each byte alive: an allocator keeps
and splits more than is in use. Fitted by benchmarks/memory_estimates.py."""
CPU_GROWTH_BYTES: Final = 24_000_000
"""What libraries take once they work: kernels compiled, threads, caches. Fitted as above."""

_COMPONENTS: Final = ("weights", "gradients", "optimizer", "activations", "logits", "base")

_SHORTER: Final = "Lower maxSequenceLength: what is held at once is at least the longest row."

_REMEDIES: Final = {
    "weights": "Use a smaller model.",
    "gradients": "Use LORA, which trains a small part of the parameters.",
    "optimizer": "Use LORA, which trains a small part of the parameters.",
    "activations": _SHORTER,
    "logits": _SHORTER,
}


class EstimateMethod(StrEnum):
    """How the share of memory that depends on the data was found."""

    DRY_RUN = "DRY_RUN"
    MEASURED = "MEASURED"
    CLOSED_FORM = "CLOSED_FORM"


class MemoryEstimate(Frozen):
    """The most memory a run will hold at once, in bytes, by what it is held for.

    On an accelerator it is the accelerator's memory, else that of the training process. Of a run on
    several devices it is what the first of them, or its process, will hold: with `sharding: FULL` its
    part of weights, gradients and optimizer, what of them is gathered whole at a time, and the
    activations of its own rows.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """What the forward pass keeps for the backward pass, and intermediate results."""
    logits: int
    """The output head's results, and their gradients."""
    base: int
    """What the process holds beside: libraries, the data, caches."""
    peak: int
    """All of it, or what the process held while it loaded the model, or will hold while it gathers a
    checkpoint of a split one, where that is more."""
    available: int
    """What the process could hold."""
    method: EstimateMethod

    @property
    def fits(self) -> bool:
        """Whether the peak is within what is available."""
        return self.peak <= self.available

    @property
    def largest(self) -> str:
        """The component that takes most, the process's base left aside."""
        return max(_REMEDIES, key=lambda name: int(getattr(self, name)))

    def described(self) -> str:
        """The figures in words, for a message."""
        parts = ", ".join(f"{name} {in_words(getattr(self, name))}" for name in _COMPONENTS)
        return (
            f"the estimate was {in_words(self.peak)} ({parts}) "
            f"with {in_words(self.available)} available"
        )

    def remedy(self) -> str:
        """What lowers the largest component."""
        component = self.largest
        return (
            f"Most is taken by {component}, {in_words(getattr(self, component))}. "
            + (_REMEDIES[component])
        )


def optimizer_bytes(optimizer: Optimizer, sizes: Iterable[int]) -> int:
    """What AdamW's two moments take for tensors of so many elements: 4 bytes each for an element,
    or 1 where held in 8 bits."""
    return sum(
        (2 if optimizer in _EIGHT_BIT and size >= _SMALLEST_IN_EIGHT_BITS else 8) * size
        for size in sizes
    )


def in_words(size_bytes: int) -> str:
    """An amount of memory, for a message."""
    return f"{size_bytes / 1e9:.2f} GB"
