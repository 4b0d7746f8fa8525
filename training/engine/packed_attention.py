"""Exact attention within the rows of a pack, for the layers of any transformers model.

Registered under `NAME`, it is what a model's own layers call while `packed` holds; the segments reach
it through the model's keyword arguments. Automatic differentiation does the way back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F  # noqa: N812 - the name the field knows
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from training.engine import flash
from training.engine.flash import Segments
from training.engine.heads import Heads

NAME: Final = "tunery_packed"


@contextmanager
def packed(model: PreTrainedModel) -> Iterator[None]:
    """Let the model's layers attend within segments, given to its forward pass as `lengths` and, where
    `training.engine.flash` may serve, as its `borders` too."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    config = model.config.get_text_config()
    former = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = former


def _no_mask(*_: object, **__: object) -> None:
    """No mask over the pack: each row is attended to by itself."""


def _attention(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """(1, H, T, d) queries, (1, K, T, d) keys and values; (1, T, H, d) comes out.

    What this does not know of, it must not pass over: an unknown option raises TypeError.
    """
    del attention_mask
    return _within_rows(module, query, key, value, **_known(options)), None


_HARMLESS: Final = frozenset({"position_ids", "use_cache", "output_attentions", "cache_position"})
_OPTIONS: Final = frozenset(
    {"lengths", "borders", "scaling", "dropout", "softcap", "sliding_window"}
)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    unknown = given.keys() - _HARMLESS - _OPTIONS
    if unknown:
        raise TypeError(f"attention has options unknown here: {', '.join(sorted(unknown))}")
    return {name: value for name, value in given.items() if name in _OPTIONS}


def _within_rows(  # noqa: PLR0913 - the options that architectures have
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    lengths: tuple[int, ...],
    borders: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
) -> Tensor:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    rate = dropout if module.training else 0.0
    if borders is not None and not rate and softcap is None and _kernels_serve(query):
        heads = Heads(*(each[0].transpose(0, 1) for each in (query, key, value)))
        segments = Segments(borders, max(lengths), sliding_window)
        return flash.differentiable(heads, segments, scale)[None]
    share = query.shape[1] // key.shape[1]
    outs = []
    for parts in zip(
        *(torch.split(each, list(lengths), dim=2) for each in (query, key, value)), strict=True
    ):
        rows, keys, values = parts[0], *(each.repeat_interleave(share, 1) for each in parts[1:])
        scores = torch.matmul(rows, keys.transpose(2, 3)) * scale
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        scores = scores.masked_fill(_hidden(rows.shape[2], sliding_window, rows.device), -torch.inf)
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(rows.dtype)
        outs.append(torch.matmul(F.dropout(weights, rate), values))
    return torch.cat(outs, dim=2).transpose(1, 2)


def _kernels_serve(query: Tensor) -> bool:
    return flash.serves(query.dtype, query.device, width=query.shape[-1])


def _hidden(length: int, window: int | None, device: torch.device) -> Tensor:
    """Which keys (n, n) a query does not see."""
    hidden = torch.ones(length, length, dtype=torch.bool, device=device).triu_(1)
    if window is not None and window < length:
        hidden |= torch.ones_like(hidden).tril_(-window)
    return hidden
