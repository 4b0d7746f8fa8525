"""Exact causal attention within each row of a pack, without a mask over the pack.

Rows of like length are gathered into padded groups of (rows, heads, n, n) scores. A padded place
lies behind its row's tokens, where causal attention never looks, so it needs no mask of its own.
On a CPU explicit matrix products beat torch's kernel for scaled dot-product attention about threefold
on rows of some hundred tokens, and are level with it at a thousand. Longer rows, and rows on a GPU
for which `training.engine.flash` does not serve, go through the kernel, which keeps no scores.
Rows in bf16 on a CPU come here only where `training.engine.native.attention` does not serve.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.bounds import LONG_ROW
from training.engine.heads import Heads
from training.engine.native import kernels

_GROUP_COST: Final = 15_000
"""What a group of its own costs, beside its work, kernels for its lengths included: the time of so many
scores of all heads."""

_SHORT: Final = 256
"""Of rows of so many tokens, torch's kernel for the softmax of bf16 takes twice the time of fp32's."""

_MOST_ALIKE: Final = 64
"""Rows in a group at most."""


class Padding(NamedTuple):
    """How the tokens of a group's rows and their places in it find each other."""

    token: Tensor
    """(rows * n), the token at each place, counted within the group; any at a place without one."""
    place: Tensor
    """The place of each token."""
    empty: Tensor
    """The places without a token."""


class Group(NamedTuple):
    """Rows of like length, the tokens `first` up to `last` of the pack, padded to n tokens each."""

    first: int
    last: int
    rows: int
    length: int
    padding: Padding | None
    """None where all rows are of the same length."""
    by_kernel: bool
    window: int | None
    """A token sees itself and the `window - 1` before it; None: all before it."""
    mask: Tensor | None
    """(n, n), 0 where a query sees a key and -inf elsewhere; None where the kernel needs none."""


class Products(NamedTuple):
    """What the way back needs of attention by matrix products."""

    probabilities: Tensor


class Recorded(NamedTuple):
    """What it needs of attention by the kernel, whose own derivative it calls."""

    inputs: Heads
    output: Tensor


Kept = Products | Recorded


def make_groups(
    lengths: Sequence[int],
    *,
    dtype: torch.dtype,
    device: str | torch.device = "cpu",
    window: int | None = None,
) -> tuple[Group, ...]:
    """The groups of rows that lie end to end, longest first.

    With `window`, a token sees itself and the `window - 1` before it.
    """
    groups: list[Group] = []
    row, token = 0, 0
    for count in _group_sizes(lengths):
        alike = lengths[row : row + count]
        padding = _padding(alike, device) if alike[-1] < alike[0] else None
        by_kernel = torch.device(device).type not in ("cpu", "meta") or alike[0] > LONG_ROW
        mask = None
        if not by_kernel or (window is not None and window < alike[0]):
            mask = _mask(alike[0], window).to(dtype=dtype, device=device)
        last = token + sum(alike)
        groups.append(Group(token, last, len(alike), alike[0], padding, by_kernel, window, mask))
        row, token = row + count, last
    return tuple(groups)


def attend(heads: Heads, groups: Sequence[Group], scale: float) -> tuple[Tensor, list[Kept]]:
    """Each row's attention output (T, H * d), and what `attend_backward` needs."""
    result = torch.empty_like(heads.queries)
    kept: list[Kept] = []
    for group in groups:
        inputs = Heads(*(_gathered(each, group, heads.keys.shape[1]) for each in heads))
        compute = _recorded if group.by_kernel else _multiplied
        out, part = compute(inputs, group, scale)
        _scatter(out, group, result)
        kept.append(part)
    return result.flatten(1), kept


def attend_backward(
    gradient: Tensor, heads: Heads, groups: Sequence[Group], *, scale: float, kept: Sequence[Kept]
) -> Heads:
    """Gradients of queries, keys and values from that of `attend`'s output."""
    gradient = gradient.view_as(heads.queries)
    result = Heads(*(torch.empty_like(each) for each in heads))
    shared = heads.keys.shape[1]
    for group, part in zip(groups, kept, strict=True):
        by_output = _gathered(gradient, group, shared, clean=True)
        if isinstance(part, Recorded):
            found = Heads(*torch.autograd.grad(part.output, part.inputs, by_output))
        else:
            inputs = Heads(*(_gathered(each, group, shared) for each in heads))
            found = _multiplied_back(by_output, inputs, group, scale=scale, part=part)
        for each, target in zip(found, result, strict=True):
            _scatter(each, group, target)
    return result


def _multiplied(inputs: Heads, group: Group, scale: float) -> tuple[Tensor, Products]:
    scores = torch.bmm(inputs.queries.mul_(scale), inputs.keys.transpose(1, 2))
    square = scores.view(-1, group.length, group.length)
    if kernels.serves(scores):
        kernels.causal_softmax_(square, group.window)
        return torch.bmm(scores, inputs.values), Products(scores)
    assert group.mask is not None  # noqa: S101 - always made for matrix products
    if scores.dtype is torch.bfloat16 and group.length <= _SHORT:
        square = square.float()
    probabilities = torch.softmax(square.add_(group.mask), dim=-1).to(scores.dtype).view_as(scores)
    return torch.bmm(probabilities, inputs.values), Products(probabilities)


def _multiplied_back(
    gradient: Tensor, inputs: Heads, group: Group, *, scale: float, part: Products
) -> Heads:
    weights = torch.bmm(gradient, inputs.values.transpose(1, 2))
    scores = _softmax_backward(weights, part.probabilities, group, scale)
    return Heads(
        torch.bmm(scores, inputs.keys),
        torch.bmm(scores.transpose(1, 2), inputs.queries),
        torch.bmm(part.probabilities.transpose(1, 2), gradient),
    )


def _recorded(inputs: Heads, group: Group, scale: float) -> tuple[Tensor, Recorded]:
    width = inputs.queries.shape[-1]
    with torch.enable_grad():
        tracked = Heads(*(each.requires_grad_() for each in inputs))
        queries, keys, values = (each.view(group.rows, -1, group.length, width) for each in tracked)
        out = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=group.mask,
            is_causal=group.mask is None,
            scale=scale,
            enable_gqa=True,
        ).reshape(inputs.queries.shape)
    return out.detach(), Recorded(tracked, out)


def _group_sizes(lengths: Sequence[int]) -> list[int]:
    """How many of the rows, longest first, each group takes, so that all cost least together.

    `best[n]` is what the last n rows cost at least, and how many of them the first group takes.
    """
    best = [(0, 0)]
    for left in range(1, len(lengths) + 1):
        longest = lengths[-left]
        best.append(
            min(
                (_GROUP_COST + taken * longest**2 + best[left - taken][0], taken)
                for taken in range(1, min(left, _MOST_ALIKE) + 1)
            )
        )
    sizes, left = [], len(lengths)
    while left:
        sizes.append(best[left][1])
        left -= sizes[-1]
    return sizes


def _padding(lengths: Sequence[int], device: str | torch.device) -> Padding:
    tokens = torch.full((len(lengths), lengths[0]), -1)
    start = 0
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.arange(start, start + length)
        start += length
    flat = tokens.reshape(-1)
    return Padding(
        token=flat.clamp_min(0).to(device),
        place=(flat >= 0).nonzero().squeeze(1).to(device),
        empty=(flat < 0).nonzero().squeeze(1).to(device),
    )


def _mask(length: int, window: int | None) -> Tensor:
    hidden = torch.ones(length, length, dtype=torch.bool).triu_(1)
    if window is not None and window < length:
        hidden |= torch.ones(length, length, dtype=torch.bool).tril_(-window)
    return torch.zeros(length, length).masked_fill_(hidden, float("-inf"))


def _gathered(tokens: Tensor, group: Group, shared: int, *, clean: bool = False) -> Tensor:
    """A copy of a group's tokens (T, H, d) as (rows * K, H / K * n, d), K being `shared`.

    Padded places hold some token or other, or with `clean` zeros.
    """
    count, width = tokens.shape[1:]
    found = tokens[group.first : group.last]
    if group.padding is not None:
        found = found.reshape(len(found), -1).index_select(0, group.padding.token)
        if clean:
            found.index_fill_(0, group.padding.empty, 0)
    split = found.reshape(group.rows, group.length, shared, count // shared, width)
    ordered = split.permute(0, 2, 3, 1, 4)
    copy = torch.empty(ordered.shape, dtype=tokens.dtype, device=tokens.device).copy_(ordered)
    return copy.view(group.rows * shared, -1, width)


def _scatter(padded: Tensor, group: Group, result: Tensor) -> None:
    """The reverse of `_gathered`: put (rows * K, H / K * n, d) where it belongs in (T, H, d)."""
    width = padded.shape[2]
    split = padded.view(group.rows, len(padded) // group.rows, -1, group.length, width)
    by_token = split.permute(0, 3, 1, 2, 4)
    target = result[group.first : group.last]
    if group.padding is None:
        target.view(by_token.shape).copy_(by_token)
    else:
        flat = by_token.reshape(group.rows * group.length, -1)
        torch.index_select(flat, 0, group.padding.place, out=target.view(len(target), -1))


def _softmax_backward(
    gradient: Tensor, probabilities: Tensor, group: Group, scale: float
) -> Tensor:
    """`scale` times the gradient of the scores from that of the probabilities, which is used up."""
    square = (-1, group.length, group.length)
    parts = gradient.view(square), probabilities.view(square)
    if kernels.serves(gradient):
        return kernels.causal_softmax_backward_(*parts, group.window, scale).view_as(gradient)
    found = torch._softmax_backward_data(  # the derivative that autograd itself calls
        *parts, -1, probabilities.dtype
    )
    return found.mul_(scale).view_as(gradient)
