"""Exact causal attention within rows that lie end to end, by the kernels of FlashAttention-2 that torch
carries for CUDA (Dao, 2023). They look at no pair of two rows, and keep no scores.

The operations are those behind `torch.nn.attention.varlen` and `scaled_dot_product_attention`.
"""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from training.engine.heads import Heads

_WIDEST: Final = 256
"""Elements of a head at most, which must be a multiple of 8."""
_SINCE: Final = 8
"""The compute capability from which the kernels run."""


class Segments(NamedTuple):
    """Where rows lie in a pack, and what of them a token sees."""

    borders: Tensor
    """(rows + 1), int32: where each row begins, and the last one ends."""
    longest: int
    window: int | None
    """A token sees itself and the `window - 1` before it; None: all before it."""


class Recorded(NamedTuple):
    """What the way back needs beside the inputs."""

    output: Tensor
    logarithms: Tensor
    random_state: Tensor
    unused: Tensor


def serves(dtype: torch.dtype, device: torch.device, *, width: int) -> bool:
    """Whether there are kernels for heads of so many elements."""
    return (
        device.type == "cuda"
        and dtype in (torch.bfloat16, torch.float16)
        and width % 8 == 0
        and width <= _WIDEST
        and torch.cuda.get_device_capability(device)[0] >= _SINCE
    )


def attend(heads: Heads, segments: Segments, scale: float) -> tuple[Tensor, Recorded]:
    """Each row's attention output (T, H, d), and what `attend_backward` needs."""
    where = segments.borders, segments.borders, segments.longest, segments.longest
    output, logarithms, random_state, unused, _ = torch.ops.aten._flash_attention_forward(
        *heads, *where, 0.0, True, False, scale=scale, **_window(segments)
    )
    return output, Recorded(output, logarithms, random_state, unused)


def attend_backward(
    gradient: Tensor, heads: Heads, segments: Segments, *, scale: float, kept: Recorded
) -> Heads:
    """Gradients of queries, keys and values from that of `attend`'s output (T, H, d)."""
    where = segments.borders, segments.borders, segments.longest, segments.longest
    given = (gradient, *heads, kept.output, kept.logarithms, *where, 0.0, True)
    return Heads(
        *torch.ops.aten._flash_attention_backward(
            *given, kept.random_state, kept.unused, scale=scale, **_window(segments)
        )
    )


def differentiable(heads: Heads, segments: Segments, scale: float) -> Tensor:
    """Each row's attention output (T, H, d), for automatic differentiation."""
    output: Tensor = _Attention.apply(*heads, segments, scale)  # type: ignore[no-untyped-call]
    return output


def _window(segments: Segments) -> dict[str, int]:
    if segments.window is None:
        return {}
    return {"window_size_left": segments.window - 1, "window_size_right": 0}


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, segments: Segments, scale: float
    ) -> Tensor:
        heads = Heads(queries, keys, values)
        output, kept = attend(heads, segments, scale)
        ctx.save_for_backward(*heads, *kept, segments.borders)
        ctx.bounds, ctx.scale = (segments.longest, segments.window), scale
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *parts, where = ctx.saved_tensors
        found = attend_backward(
            gradient.contiguous(),
            Heads(*parts[:3]),
            Segments(where, *ctx.bounds),
            scale=ctx.scale,
            kept=Recorded(*parts[3:]),
        )
        return (*found, None, None)
