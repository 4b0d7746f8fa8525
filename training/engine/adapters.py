"""What adapters beside projections of one input compute, by torch's operations."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.dropout import masked
from training.engine.gradients import Gradients
from training.engine.projection import Adapter, Kept


class AdaptersByTorch:
    """Too thin to be computed at full speed, they are one of the width of all where they meet the
    input."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self._adapters = tuple(adapters)

    def forward_(
        self, outputs: Sequence[Tensor], inputs: Tensor, *, mask: Tensor | None, boost: float
    ) -> Tensor:
        """Add to the projections' outputs (T, out) what the adapters make of what `mask` leaves of the
        inputs (T, in), times `boost`. What `backward_` needs of that: (T, r of all)."""
        low = F.linear(masked(inputs, mask), self._stacked())
        for adapter, output, part in zip(self._adapters, outputs, self._split(low), strict=True):
            output.addmm_(part.mul_(adapter.scaling * boost), adapter.up.t())
        return low

    def backward_(
        self,
        total: Tensor,
        gradient: Sequence[Tensor],
        *,
        inputs: Tensor,
        kept: Kept,
        gradients: Gradients,
    ) -> None:
        """From the gradients of the outputs, add that of the inputs to `total`, and those of the
        adapters' matrices to `gradients`."""
        assert kept.low is not None  # noqa: S101 - what `forward_` gave
        inner = torch.empty_like(kept.low)
        lows, inners = self._split(kept.low), self._split(inner)
        for adapter, part, low, passed in zip(self._adapters, gradient, lows, inners, strict=True):
            gradients.add(adapter.up, part.t() @ low)
            torch.mm(part, adapter.up, out=passed).mul_(adapter.scaling * kept.boost)
        by_downs = inner.t() @ masked(inputs, kept.mask)
        for adapter, by_down in zip(self._adapters, self._split(by_downs, dim=0), strict=True):
            gradients.add(adapter.down, by_down)
        if kept.mask is None:
            total.addmm_(inner, self._stacked())
        else:
            total.add_(masked(inner @ self._stacked(), kept.mask))

    def _stacked(self) -> Tensor:
        """The matrices A one below the other."""
        downs: list[Tensor] = [each.down for each in self._adapters]
        return downs[0] if len(downs) == 1 else torch.cat(downs)

    def _split(self, low: Tensor, *, dim: int = 1) -> tuple[Tensor, ...]:
        """The part of each adapter."""
        return torch.split(low, [each.rank for each in self._adapters], dim=dim)
