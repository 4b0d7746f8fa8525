"""Attention within the rows of a pack, by what is fastest for them on their device."""

from typing import TypeAlias

from torch import Tensor

from training.engine import attention, flash
from training.engine.attention import Group, make_groups
from training.engine.flash import Recorded, Segments
from training.engine.heads import Heads
from training.engine.native import attention as native
from training.engine.native.attention import Logarithms, Spans
from training.engine.packs import Pack

Rows: TypeAlias = tuple[Group, ...] | Segments | Spans
Kept: TypeAlias = list[attention.Kept] | Recorded | Logarithms


def lay_out(pack: Pack, *, like: Tensor, width: int, window: int | None = None) -> Rows:
    """The rows of a pack, for heads of `width` elements of the dtype, and on the device, of `like`.

    With `window`, a token sees itself and the `window - 1` before it.
    """
    if flash.serves(like.dtype, like.device, width=width):
        return Segments(pack.borders, pack.longest, window)
    if native.serves(like.dtype, like.device, width=width):
        return Spans(pack.borders, pack.longest, window)
    return make_groups(pack.lengths, dtype=like.dtype, device=like.device, window=window)


def attend(heads: Heads, rows: Rows, scale: float) -> tuple[Tensor, Kept]:
    """Each row's attention output (T, H * d), and what `attend_backward` needs."""
    if isinstance(rows, Segments):
        output, kept = flash.attend(heads, rows, scale)
        return output.flatten(1), kept
    if isinstance(rows, Spans):
        output, logarithms = native.attend(heads, rows, scale)
        return output.flatten(1), logarithms
    return attention.attend(heads, rows, scale)


def attend_backward(
    gradient: Tensor, heads: Heads, rows: Rows, *, scale: float, kept: Kept
) -> Heads:
    """Gradients of queries, keys and values from that of `attend`'s output."""
    by_output = gradient.view_as(heads.queries)
    if isinstance(rows, Segments):
        assert isinstance(kept, Recorded)  # noqa: S101 - what `attend` gave
        return flash.attend_backward(by_output, heads, rows, scale=scale, kept=kept)
    if isinstance(rows, Spans):
        assert isinstance(kept, Logarithms)  # noqa: S101 - likewise
        return native.attend_backward(by_output, heads, rows, scale=scale, kept=kept)
    assert isinstance(kept, list)  # noqa: S101 - likewise
    return attention.attend_backward(gradient, heads, rows, scale=scale, kept=kept)
