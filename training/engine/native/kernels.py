"""The kernels on tensors: each does in one pass over memory what torch does in several.

Everything is computed in fp32 and rounded once. In a dry run, whose tensors have no memory, nothing is
computed and the same is held.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import Parameter

from training.engine.native.library import library

_KINDS: Final = {torch.bfloat16: "bf16", torch.float32: "float"}


def serves(tensor: Tensor) -> bool:
    """Whether there are kernels for a tensor's elements where they are."""
    return (
        tensor.device.type in ("cpu", "meta")
        and tensor.dtype in _KINDS
        and library().kernels is not None
    )


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    product = torch.empty_like(gate)
    _run("gated", product, gate, up, gate.numel())
    return product


def gated_backward_(by_product: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of gate and up from that of `gated`, in the memory of both."""
    _run("gated_backward", by_product, gate, up, gate.numel())
    return gate, up


def turn_(heads: Tensor, cosines: Tensor, sines: Tensor) -> None:
    """Turn the pairs (j, j + d / 2) of heads (T, H, d) by angles (T, 1, d / 2), in place."""
    _run("turn", heads, cosines, sines, *heads.shape, heads.stride(0))


def cross_entropy_(
    logits: Tensor, targets: Tensor, *, factor: float | Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Each token's loss, and whether its likeliest prediction is right. `logits` (N, vocabulary), to be
    multiplied by `scale`, become `factor` times the gradient of those losses, before that multiplication.
    """
    losses = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    hits = torch.empty(len(logits), dtype=torch.int32, device=logits.device)
    _run("cross_entropy", logits, targets, losses, hits, *logits.shape, float(factor), scale)
    return losses, hits


def normalised(inputs: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """weight * inputs / sqrt(mean(inputs^2) + epsilon) over the last dimension, and that factor (…, 1)."""
    out = torch.empty_like(inputs)
    factor = torch.empty(*inputs.shape[:-1], 1, dtype=torch.float32, device=inputs.device)
    _run("norm_forward", out, factor, inputs, weight, *_rows(inputs), epsilon)
    return out, factor


def normalised_again(inputs: Tensor, factor: Tensor, weight: Tensor) -> Tensor:
    """The same, the factor being known."""
    out = torch.empty_like(inputs)
    _run("norm_again", out, factor, inputs, weight, *_rows(inputs))
    return out


def normalised_backward_(
    gradient: Tensor, inputs: Tensor, factor: Tensor, weight: Tensor
) -> Tensor:
    """The gradient of the inputs from that of the outputs, in its memory."""
    _run("norm_backward", gradient, inputs, factor, weight, *_rows(inputs))
    return gradient


def normalised_weight_backward(gradient: Tensor, inputs: Tensor, factor: Tensor) -> Tensor:
    """The gradient of the weight from that of the outputs, in fp32."""
    found = torch.empty(inputs.shape[-1], dtype=torch.float32, device=inputs.device)
    _run("norm_weight_backward", found, gradient, inputs, factor, *_rows(inputs), kind=_KINDS[inputs.dtype])
    return found


def causal_softmax_(scores: Tensor, window: int | None) -> Tensor:
    """Softmax of causal scores (…, n, n) over the keys that a query sees, zero at the others, in place.

    With `window`, a query sees itself and the `window - 1` keys before it.
    """
    length = scores.shape[-1]
    _run("causal_softmax", scores, scores.numel() // length**2, length, window or length)
    return scores


def causal_softmax_backward_(
    gradient: Tensor, probabilities: Tensor, window: int | None, scale: float
) -> Tensor:
    """`scale` times the gradient of the scores from that of the probabilities, in its memory."""
    length = gradient.shape[-1]
    squares = gradient.numel() // length**2
    seen = window or length
    _run("causal_softmax_backward", gradient, probabilities, squares, length, seen, scale)
    return gradient


def _rows(tensor: Tensor) -> tuple[int, int]:
    return tensor.numel() // tensor.shape[-1], tensor.shape[-1]


def _run(name: str, *arguments: Tensor | float, kind: str | None = None) -> None:
    """Call the kernel for elements of the first tensor's type, or of another `kind`."""
    tensors = [each for each in arguments if isinstance(each, Tensor)]
    if not all(map(has_memory, tensors)):
        return
    if not all(each.is_contiguous() for each in tensors):
        raise ValueError(f"{name} takes tensors without gaps")
    kernel = getattr(library().kernels, f"{name}_{kind or _KINDS[tensors[0].dtype]}")
    kernel(
        *(each.data_ptr() if isinstance(each, Tensor) else each for each in arguments),
        torch.get_num_threads(),
    )


def has_memory(tensor: Tensor) -> bool:
    """Whether there is anything in it to compute with, which in a dry run there is not."""
    return type(tensor) in (Tensor, Parameter) and not tensor.is_meta
