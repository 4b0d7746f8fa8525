"""Steps that were not taken, because their loss or gradient was no number."""

from collections.abc import Sequence
from typing import Final

from training.errors import TrainingError

_NAMED_LINES: Final = 20
"""How many line numbers a message lists."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite; the weights were not touched by it."""

    def __init__(self, epoch: int, step: int, loss: float, *, lines: Sequence[int] = ()) -> None:
        within = f", in the micro-batch of the records {_numbers(lines)}" if lines else ""
        super().__init__(
            "NON_FINITE_LOSS",
            f"The loss became {loss} in epoch {epoch} at step {step}{within}.",
            "Lower the learning rate, add warm-up steps, or look for damaged records.",
        )


class NonFiniteGradient(TrainingError):
    """The gradient became NaN or infinite; the weights were not touched by it."""

    def __init__(
        self, epoch: int, step: int, gradient_norm: float, *, lines: Sequence[int]
    ) -> None:
        super().__init__(
            "NON_FINITE_GRADIENT",
            f"The gradient norm became {gradient_norm} in epoch {epoch} at step {step}, "
            f"which sees the records {_numbers(lines)}.",
            "Lower the learning rate, or add warm-up steps.",
        )


def _numbers(lines: Sequence[int]) -> str:
    """Line numbers in a sentence, the first of them where there are many."""
    named = ", ".join(str(line) for line in sorted(lines)[:_NAMED_LINES])
    more = len(lines) - _NAMED_LINES
    return f"{named} and {more} more" if more > 0 else named
