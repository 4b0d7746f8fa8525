"""Projections of one input, forward and backward.

Queries, keys and values take the same input, as do gate and up. Their adapters, too thin to be
computed at full speed, are one of the width of all where they meet the input; one dropout mask
serves them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.dropout import Dropout, masked
from training.engine.gradients import Gradients
from training.engine.projection import Adapter, Projection


class Kept(NamedTuple):
    """What the backward pass needs; the input itself it makes again."""

    mask: Tensor | None
    """The elements of the input that dropout left to the adapters; None where it left all."""
    boost: float
    """What makes up for the others."""
    low: Tensor | None
    """What the adapters made of the input on its way, side by side: (T, r of all)."""


@dataclass(frozen=True)
class Fan:
    """From inputs (T, in) to the outputs (T, out) of each projection."""

    projections: tuple[Projection, ...]

    def forward(self, inputs: Tensor, dropout: Dropout | None) -> tuple[tuple[Tensor, ...], Kept]:
        """The outputs, and what `backward` needs. Without `dropout` adapters drop nothing."""
        outputs = tuple(each.matrix.apply(inputs, each.bias) for each in self.projections)
        adapted = self._adapted(outputs)
        if not adapted:
            return outputs, Kept(None, 1.0, None)
        mask, boost = (dropout.mask(inputs), dropout.boost) if dropout else (None, 1.0)
        low = F.linear(masked(inputs, mask), _stacked(adapted))
        for (adapter, out), part in zip(adapted, _split(low, adapted), strict=True):
            out.addmm_(part.mul_(adapter.scaling * boost), adapter.up.t())
        return outputs, Kept(mask, boost, low)

    def backward(
        self, gradient: Sequence[Tensor], inputs: Tensor, *, kept: Kept, gradients: Gradients
    ) -> Tensor:
        """The gradient of the inputs from that of the outputs; those of the weights are added."""
        total: Tensor | None = None
        for projection, part in zip(self.projections, gradient, strict=True):
            total = projection.matrix.pull_back(part, total)
            if projection.trained_weight is not None:
                gradients.add(projection.trained_weight, part.t() @ inputs)
            if projection.trained_bias is not None:
                gradients.add(projection.trained_bias, part.sum(0))
        assert total is not None  # noqa: S101 - there is a projection
        adapted = self._adapted(gradient)
        if not adapted or kept.low is None:
            return total
        inner = torch.empty_like(kept.low)
        parts = zip(adapted, _split(kept.low, adapted), _split(inner, adapted), strict=True)
        for (adapter, part), low, passed in parts:
            gradients.add(adapter.up, part.t() @ low)
            torch.mm(part, adapter.up, out=passed).mul_(adapter.scaling * kept.boost)
        by_downs = inner.t() @ masked(inputs, kept.mask)
        for (adapter, _), by_down in zip(adapted, _split(by_downs, adapted, dim=0), strict=True):
            gradients.add(adapter.down, by_down)
        if kept.mask is None:
            return total.addmm_(inner, _stacked(adapted))
        return total.add_(masked(inner @ _stacked(adapted), kept.mask))

    def _adapted(self, outputs: Sequence[Tensor]) -> list[tuple[Adapter, Tensor]]:
        """Each adapter with the output of its projection, or the gradient of that."""
        pairs = zip(self.projections, outputs, strict=True)
        return [(each.adapter, output) for each, output in pairs if each.adapter is not None]


def _stacked(adapted: Sequence[tuple[Adapter, Tensor]]) -> Tensor:
    """The adapters' matrices A one below the other."""
    downs: list[Tensor] = [adapter.down for adapter, _ in adapted]
    return downs[0] if len(downs) == 1 else torch.cat(downs)


def _split(
    low: Tensor, adapted: Sequence[tuple[Adapter, Tensor]], *, dim: int = 1
) -> tuple[Tensor, ...]:
    """The part of each adapter."""
    return torch.split(low, [adapter.rank for adapter, _ in adapted], dim=dim)
