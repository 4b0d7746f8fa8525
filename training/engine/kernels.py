"""Kernels of our own for a GPU, where several operations one after the other would each read and write
all of memory. Needs Triton, which comes with torch's builds for GPUs.

Everything is computed in fp32 and rounded once. In a dry run, whose tensors have no memory, nothing is
computed and the same is held.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK: Final = 1024
_VOCABULARY_BLOCK: Final = 4096


def cross_entropy_(
    logits: Tensor, targets: Tensor, *, factor: float | Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Each token's loss, and whether its likeliest prediction is right. `logits` (N, vocabulary), to be
    multiplied by `scale`, become `factor` times the gradient of those losses, before that multiplication.

    A token whose target is negative bears no loss.
    """
    if not isinstance(factor, Tensor):
        factor = torch.full((), factor, dtype=torch.float32, device=logits.device)
    count, vocabulary = logits.shape
    losses = torch.empty(count, dtype=torch.float32, device=logits.device)
    hits = torch.empty(count, dtype=torch.int32, device=logits.device)
    if _has_memory(logits):
        _cross_entropy[(count,)](
            logits,
            targets,
            losses,
            hits,
            factor,
            scale,
            vocabulary,
            logits.stride(0),
            BLOCK=_VOCABULARY_BLOCK,
            num_warps=8,
        )
    return losses, hits


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    product = torch.empty_like(gate)
    count = gate.numel()
    if _has_memory(gate):
        _gated[(triton.cdiv(count, _BLOCK),)](gate, up, product, count, BLOCK=_BLOCK)
    return product


def gated_backward_(by_product: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of gate and up from that of `gated`, in the memory of both."""
    count = gate.numel()
    if _has_memory(gate):
        _gated_backward[(triton.cdiv(count, _BLOCK),)](by_product, gate, up, count, BLOCK=_BLOCK)
    return gate, up


def turn_(heads: Tensor, cosines: Tensor, sines: Tensor) -> None:
    """Turn the pairs (j, j + d / 2) of heads (T, H, d) by angles (T, 1, d / 2), in place."""
    tokens, count, width = heads.shape
    half = width // 2
    if _has_memory(heads):
        _turn[(tokens,)](
            heads,
            cosines,
            sines,
            heads.stride(0),
            heads.stride(1),
            count,
            half,
            COUNT_BLOCK=triton.next_power_of_2(count),
            HALF_BLOCK=triton.next_power_of_2(half),
        )


def _has_memory(tensor: Tensor) -> bool:
    return type(tensor) is Tensor


@triton.jit
def _cross_entropy(  # noqa: PLR0913 - a kernel is given addresses and sizes
    logits,
    targets,
    losses,
    hits,
    factor,
    scale,
    vocabulary,
    stride,
    BLOCK: tl.constexpr,  # noqa: N803 - as Triton's own kernels name what is compiled in
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    target = tl.load(targets + row)
    bears = target >= 0
    right = tl.load(logits + tl.where(bears, target, 0)).to(tl.float32) * scale
    highest = float("-inf")
    total = 0.0
    likeliest = -1
    for start in range(0, vocabulary, BLOCK):
        places = start + tl.arange(0, BLOCK)
        values = tl.load(logits + places, mask=places < vocabulary, other=float("-inf"))
        values = values.to(tl.float32) * scale
        most, place = tl.max(values, 0, return_indices=True)
        likeliest = tl.where(most > highest, start + place, likeliest)
        above = tl.maximum(highest, most)
        total = total * tl.exp(highest - above) + tl.sum(tl.exp(values - above), 0)
        highest = above
    tl.store(losses + row, tl.where(bears, tl.log(total) + highest - right, 0.0))
    tl.store(hits + row, (likeliest == target).to(tl.int32))
    weight = tl.where(bears, tl.load(factor), 0.0)
    for start in range(0, vocabulary, BLOCK):
        places = start + tl.arange(0, BLOCK)
        inside = places < vocabulary
        values = tl.load(logits + places, mask=inside, other=float("-inf")).to(tl.float32) * scale
        shares = tl.exp(values - highest) / total - tl.where(places == target, 1.0, 0.0)
        tl.store(logits + places, shares * weight, mask=inside)


@triton.jit
def _gated(gate, up, product, count, BLOCK: tl.constexpr):  # noqa: N803
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < count
    gates = tl.load(gate + places, mask=inside).to(tl.float32)
    ups = tl.load(up + places, mask=inside).to(tl.float32)
    tl.store(product + places, gates * tl.sigmoid(gates) * ups, mask=inside)


@triton.jit
def _gated_backward(by_product, gate, up, count, BLOCK: tl.constexpr):  # noqa: N803
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < count
    by = tl.load(by_product + places, mask=inside).to(tl.float32)
    gates = tl.load(gate + places, mask=inside).to(tl.float32)
    ups = tl.load(up + places, mask=inside).to(tl.float32)
    share = tl.sigmoid(gates)
    tl.store(up + places, by * gates * share, mask=inside)
    slope = share * (1.0 + gates * (1.0 - share))
    tl.store(gate + places, by * ups * slope, mask=inside)


@triton.jit
def _turn(  # noqa: PLR0913 - as above
    heads,
    cosines,
    sines,
    token_stride,
    head_stride,
    count,
    half,
    COUNT_BLOCK: tl.constexpr,  # noqa: N803
    HALF_BLOCK: tl.constexpr,  # noqa: N803
):
    token = tl.program_id(0).to(tl.int64)
    head, place = tl.arange(0, COUNT_BLOCK)[:, None], tl.arange(0, HALF_BLOCK)[None, :]
    inside = (head < count) & (place < half)
    at = heads + token * token_stride + head * head_stride + place
    first = tl.load(at, mask=inside).to(tl.float32)
    second = tl.load(at + half, mask=inside).to(tl.float32)
    angles = token * half + place
    cosine = tl.load(cosines + angles, mask=place < half).to(tl.float32)
    sine = tl.load(sines + angles, mask=place < half).to(tl.float32)
    tl.store(at, first * cosine - second * sine, mask=inside)
    tl.store(at + half, second * cosine + first * sine, mask=inside)
