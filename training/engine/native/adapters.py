"""What adapters beside projections of one input compute, by kernels: oneDNN's, made for matrices that
are large in both dimensions, take twice as long for those as thin as a rank.

The gradients of the matrices are added to their sums in fp32 at once. In a dry run, whose tensors have
no memory, nothing is computed and the same is held.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

import torch
from torch import Tensor

from training.engine.gradients import Gradients
from training.engine.native.kernels import has_memory
from training.engine.native.library import library
from training.engine.projection import Adapter, Kept

_LANES: Final = 16
_ROWS: Final = 14
"""What a thread takes of the inputs at a time."""

_TOLD: Final = "3P2qd2P2q"
"""The `Adapter` of `source/adapters.cpp`."""


class AdaptersByKernels:
    """Some adapters as the kernels take them. What never changes is told here once: beside what it
    computes, a call takes some time of its own."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self._adapters = tuple(adapters)
        self._sizes = tuple((each.rank, each.up.shape[0], each.scaling) for each in adapters)
        self._columns = sum((each.rank + 1) // 2 * 2 for each in adapters)
        self._told = Struct(_TOLD * len(adapters))

    def serve(self, inputs: Tensor) -> bool:
        """Whether there are kernels for the elements of inputs where they are."""
        return (
            inputs.dtype is torch.bfloat16
            and inputs.device.type in ("cpu", "meta")
            and all(each.down.dtype is each.up.dtype is inputs.dtype for each in self._adapters)
            and library().multiplies_pairs
        )

    def forward_(
        self, outputs: Sequence[Tensor], inputs: Tensor, *, mask: Tensor | None, boost: float
    ) -> Tensor:
        """Add to the projections' outputs (T, out) what the adapters make of what `mask` leaves of the
        inputs (T, in), times `boost`. What `backward_` needs of that: (T, r of all), where each r is
        made even."""
        low = inputs.new_empty(inputs.shape[0], self._columns)
        scratch = self._scratch(inputs, rows=0 if mask is None else _ROWS * torch.get_num_threads())
        if has_memory(inputs):
            told = self._tell(outputs, boost, [(0, 0, 0, 0)] * len(outputs))
            self._run("adapters_forward", told, inputs, mask, low, scratch)
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
        scratch = self._scratch(inputs)
        sums = [(gradients.into(each.down), gradients.into(each.up)) for each in self._adapters]
        if has_memory(inputs):
            added = [
                (down.data_ptr(), up.data_ptr(), down_begun, up_begun)
                for (down, down_begun), (up, up_begun) in sums
            ]
            parts = [each.contiguous() for each in gradient]
            told = self._tell(parts, kept.boost, added)
            tensors = (inputs, kept.mask, kept.low, inner, total, scratch)
            self._run("adapters_backward", told, *tensors)

    def _scratch(self, inputs: Tensor, *, rows: int = 0) -> Tensor:
        """Memory for the largest of the matrices in another order, and for some rows of the inputs."""
        longest = max(*inputs.shape, *[width for _, width, _ in self._sizes])
        return inputs.new_empty(
            (self._columns + _LANES) * (longest + _LANES) + rows * inputs.shape[1]
        )

    def _tell(self, wide: Sequence[Tensor], boost: float, sums: Sequence[tuple[int, ...]]) -> bytes:
        told: list[float] = []
        for adapter, each, (rank, width, scaling), added in zip(
            self._adapters, wide, self._sizes, sums, strict=True
        ):
            told += map(_address, (adapter.down, adapter.up, each))
            told += (rank, width, scaling * boost, *added)
        return self._told.pack(*told)

    def _run(self, name: str, told: bytes, inputs: Tensor, *others: Tensor | None) -> None:
        getattr(library().kernels, name)(
            told,
            len(self._adapters),
            *map(_address, (inputs, *others)),
            *inputs.shape,
            torch.get_num_threads(),
        )


def _address(tensor: Tensor | None) -> int:
    if tensor is None:
        return 0
    if not tensor.is_contiguous():
        raise ValueError("adapters' kernels take tensors without gaps")
    return tensor.data_ptr()
