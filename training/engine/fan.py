"""Projections of one input, forward and backward.

Queries, keys and values take the same input, as do gate and up. One dropout mask serves their adapters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from training.engine.adapters import AdaptersByTorch
from training.engine.dropout import Dropout
from training.engine.gradients import Gradients
from training.engine.native.adapters import AdaptersByKernels
from training.engine.projection import Kept, Projection


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
        low = self._adapters(inputs).forward_(adapted, inputs, mask=mask, boost=boost)
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
        if kept.low is not None:
            self._adapters(inputs).backward_(
                total, self._adapted(gradient), inputs=inputs, kept=kept, gradients=gradients
            )
        return total

    def _adapted(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Those of projections that have an adapter, or the gradients of those."""
        pairs = zip(self.projections, outputs, strict=True)
        return [output for each, output in pairs if each.adapter is not None]

    def _adapters(self, inputs: Tensor) -> AdaptersByKernels | AdaptersByTorch:
        """What the adapters compute, by what is fastest for such inputs."""
        return self._by_kernels if self._by_kernels.serve(inputs) else self._by_torch

    @cached_property
    def _by_kernels(self) -> AdaptersByKernels:
        return AdaptersByKernels([each.adapter for each in self.projections if each.adapter])

    @cached_property
    def _by_torch(self) -> AdaptersByTorch:
        return AdaptersByTorch([each.adapter for each in self.projections if each.adapter])
