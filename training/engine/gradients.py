"""Gradients summed in fp32 over the micro-batches of a step, each lane for itself."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


class Gradients:
    """One lane's sums, by parameter: computed in bf16, added up in fp32.

    Their memory is taken once and used for every step: a new tensor for each would tear the
    allocator's arenas to pieces.
    """

    def __init__(self) -> None:
        self._sums: dict[Parameter, Tensor] = {}
        self._begun: set[Parameter] = set()

    def add(self, parameter: Parameter, gradient: Tensor) -> None:
        """Add a micro-batch's gradient of a parameter."""
        if parameter in self._begun:
            self._sums[parameter].add_(gradient)
        else:
            self._sum(parameter).copy_(gradient)
            self._begun.add(parameter)

    def rows(self, parameter: Parameter) -> Tensor:
        """The sum for a table of which a micro-batch touches some rows alone, to be added to."""
        if parameter not in self._begun:
            self._sum(parameter).zero_()
            self._begun.add(parameter)
        return self._sums[parameter]

    def take(self, parameter: Parameter) -> Tensor | None:
        """The sum for a parameter, good until the next one is begun; None where there is none."""
        if parameter not in self._begun:
            return None
        self._begun.remove(parameter)
        return self._sums[parameter]

    def clear(self) -> None:
        """Begin anew."""
        self._begun.clear()

    def _sum(self, parameter: Parameter) -> Tensor:
        if parameter not in self._sums:
            self._sums[parameter] = torch.empty_like(
                parameter, dtype=torch.float32, memory_format=torch.contiguous_format
            )
        return self._sums[parameter]


def summed(lanes: Sequence[Gradients], parameters: Iterable[Parameter]) -> list[Tensor | None]:
    """The lanes' sums together, in the lanes' order, so that the same run gives the same bits."""
    totals: list[Tensor | None] = []
    for parameter in parameters:
        parts = [part for lane in lanes if (part := lane.take(parameter)) is not None]
        for part in parts[1:]:
            parts[0].add_(part)
        totals.append(parts[0] if parts else None)
    return totals
