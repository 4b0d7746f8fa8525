"""Gradients summed in fp32 over the micro-batches of a step, each lane for itself."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


class Gradients:
    """One lane's sums, by parameter: computed in bf16, added up in fp32."""

    def __init__(self) -> None:
        self._sums: dict[Parameter, Tensor] = {}

    def add(self, parameter: Parameter, gradient: Tensor) -> None:
        """Add a micro-batch's gradient of a parameter."""
        found = self._sums.get(parameter)
        if found is None:
            self._sums[parameter] = gradient.to(torch.float32, copy=gradient.dtype is torch.float32)
        else:
            found.add_(gradient)

    def rows(self, parameter: Parameter) -> Tensor:
        """The sum for a table of which a micro-batch touches some rows alone, to be added to."""
        if parameter not in self._sums:
            self._sums[parameter] = torch.zeros_like(parameter, dtype=torch.float32)
        return self._sums[parameter]

    def take(self, parameter: Parameter) -> Tensor | None:
        """The sum for a parameter, which is then begun anew."""
        return self._sums.pop(parameter, None)

    def clear(self) -> None:
        """Begin anew."""
        self._sums.clear()


def summed(lanes: Sequence[Gradients], parameters: Iterable[Parameter]) -> list[Tensor | None]:
    """The lanes' sums together, in the lanes' order, so that the same run gives the same bits."""
    totals: list[Tensor | None] = []
    for parameter in parameters:
        parts = [part for lane in lanes if (part := lane.take(parameter)) is not None]
        for part in parts[1:]:
            parts[0].add_(part)
        totals.append(parts[0] if parts else None)
    return totals
