"""Gradients summed in fp32 over the micro-batches of a step, each lane for itself."""

from collections.abc import Iterable, Sequence, Set
from typing import Final

import torch
from torch import Tensor
from torch.nn import Parameter

_SMALL: Final = 2**20
"""Elements up to which a gradient on a GPU waits for others, and one on a CPU is added at once."""


class Gradients:
    """One lane's sums, by parameter: computed in bf16, added up in fp32.

    Their memory is taken once and used for every step: a new tensor for each would tear the
    allocator's arenas to pieces.
    """

    def __init__(self) -> None:
        self._sums: dict[Parameter, Tensor] = {}
        self._begun: set[Parameter] = set()
        self._waiting: dict[Parameter, Tensor] = {}

    def add(self, parameter: Parameter, gradient: Tensor) -> None:
        """Add a micro-batch's gradient of a parameter; small ones on a GPU wait for one another."""
        if _waits(gradient):
            if parameter in self._waiting:
                self.settle()
            self._waiting[parameter] = gradient
        elif parameter in self._begun:
            _add(self._sums[parameter], gradient)
        else:
            self.sum_of(parameter).copy_(gradient)
            self._begun.add(parameter)

    def settle(self) -> None:
        """Add what waits, by a few kernels instead of one for each."""
        new = [each for each in self._waiting if each not in self._begun]
        old = [each for each in self._waiting if each in self._begun]
        if new:
            sums = [self.sum_of(each) for each in new]
            torch._foreach_copy_(sums, [self._waiting[each] for each in new])
        if old:
            sums = [self._sums[each] for each in old]
            wide = [torch.empty_like(each) for each in sums]
            torch._foreach_copy_(wide, [self._waiting[each] for each in old])
            torch._foreach_add_(sums, wide)
        self._begun.update(new)
        self._waiting.clear()

    def into(self, parameter: Parameter) -> tuple[Tensor, bool]:
        """The sum for a parameter, to which the caller adds, and whether anything is in it: where not,
        the caller overwrites it."""
        begun = parameter in self._begun
        self._begun.add(parameter)
        return self.sum_of(parameter), begun

    def rows(self, parameter: Parameter) -> Tensor:
        """The sum for a table of which a micro-batch touches some rows alone, to be added to."""
        if parameter not in self._begun:
            self.sum_of(parameter).zero_()
            self._begun.add(parameter)
        return self._sums[parameter]

    def begin_all(self) -> None:
        """Begin the sum of every parameter that ever had one, at zero, so that all are added to."""
        waiting = [each for parameter, each in self._sums.items() if parameter not in self._begun]
        if waiting:
            torch._foreach_zero_(waiting)
        self._begun.update(self._sums)

    def take(self, parameter: Parameter) -> Tensor | None:
        """The sum for a parameter, good until the next one is begun; None where there is none."""
        if self._waiting:
            self.settle()
        if parameter not in self._begun:
            return None
        self._begun.remove(parameter)
        return self._sums[parameter]

    def take_all(self) -> Set[Parameter]:
        """The parameters that have a sum, all of which are good until the next one is begun."""
        if self._waiting:
            self.settle()
        taken, self._begun = self._begun, set()
        return taken

    def sum_of(self, parameter: Parameter) -> Tensor:
        """The memory of a parameter's sum, always the same, whatever is in it."""
        if parameter not in self._sums:
            self._sums[parameter] = torch.empty_like(
                parameter, dtype=torch.float32, memory_format=torch.contiguous_format
            )
        return self._sums[parameter]

    def clear(self) -> None:
        """Begin anew."""
        self._begun.clear()
        self._waiting.clear()


def summed(lanes: Sequence[Gradients], parameters: Iterable[Parameter]) -> list[Tensor | None]:
    """The lanes' sums together, in the lanes' order, so that the same run gives the same bits."""
    totals: list[Tensor | None] = []
    for parameter in parameters:
        parts = [part for lane in lanes if (part := lane.take(parameter)) is not None]
        for part in parts[1:]:
            parts[0].add_(part)
        totals.append(parts[0] if parts else None)
    return totals


def _add(total: Tensor, gradient: Tensor) -> None:
    """Add one to a sum. torch's operation on a CPU first converts all of a gradient of another dtype,
    which takes many times as long where the copy does not stay in the cache."""
    if gradient.is_cuda or type(gradient) is not Tensor or gradient.numel() <= _SMALL:
        total.add_(gradient)
        return
    rows = max(1, _SMALL // (gradient.numel() // len(gradient)))
    for part, added in zip(torch.split(total, rows), torch.split(gradient, rows), strict=True):
        part.add_(added)


def _waits(gradient: Tensor) -> bool:
    """Whether a gradient is of those that are added by the dozen: not one that is split among devices."""
    return gradient.is_cuda and type(gradient) is Tensor and gradient.numel() <= _SMALL
