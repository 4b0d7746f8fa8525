"""Exact causal attention within rows that lie end to end, in bf16: nothing is gathered, padded or masked,
and no scores are kept, but are computed again on the way back (Dao, 2023).

In a dry run, whose tensors have no memory, nothing is computed and the same is held.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from training.engine.bounds import EVEN_HEAD
from training.engine.heads import Heads
from training.engine.native.kernels import has_memory
from training.engine.native.library import library


class Spans(NamedTuple):
    """Where rows lie in a pack, and what of them a token sees."""

    borders: Tensor
    """(rows + 1), int32: where each row begins, and the last one ends."""
    longest: int
    window: int | None
    """A token sees itself and the `window - 1` before it; None: all before it."""


class Logarithms(NamedTuple):
    """What the way back needs beside the inputs."""

    output: Tensor
    logarithms: Tensor
    """Of each query's sum of exponentials (T, H), in fp32."""


def serves(dtype: torch.dtype, device: torch.device, *, width: int) -> bool:
    """Whether there are kernels for heads of so many elements."""
    return (
        dtype is torch.bfloat16
        and device.type in ("cpu", "meta")
        and width % EVEN_HEAD == 0
        and library().multiplies_pairs
    )


def attend(heads: Heads, spans: Spans, scale: float) -> tuple[Tensor, Logarithms]:
    """Each row's attention output (T, H, d), and what `attend_backward` needs."""
    output = torch.empty_like(heads.queries, memory_format=torch.contiguous_format)
    shape = heads.queries.shape[:2]
    logarithms = torch.empty(shape, dtype=torch.float32, device=output.device)
    _run("attend", (output, logarithms, *heads), heads, spans, scale)
    return output, Logarithms(output, logarithms)


def attend_backward(
    gradient: Tensor, heads: Heads, spans: Spans, *, scale: float, kept: Logarithms
) -> Heads:
    """Gradients of queries, keys and values from that of `attend`'s output (T, H, d)."""
    found = Heads(
        *(torch.empty_like(each, memory_format=torch.contiguous_format) for each in heads)
    )
    tensors = (*found, gradient, *heads, *kept)
    _run("attend_backward", tensors, heads, spans, scale)
    return found


def _run(name: str, tensors: tuple[Tensor, ...], heads: Heads, spans: Spans, scale: float) -> None:
    """Call the kernel, for which tensors with gaps are copied."""
    count, width = heads.queries.shape[1:]
    shape = (spans.longest, count, heads.keys.shape[1], width)
    kernels, threads = library().kernels, torch.get_num_threads()
    size = threads * getattr(kernels, f"{name}_scratch")(*shape)
    scratch = torch.empty(size, dtype=torch.uint8, device=heads.queries.device)
    given = [*(each.contiguous() for each in tensors), spans.borders, scratch]
    if all(map(has_memory, given)):
        window = spans.window or spans.longest
        addresses = (each.data_ptr() for each in given)
        getattr(kernels, name)(*addresses, len(spans.borders) - 1, *shape, window, scale, threads)
