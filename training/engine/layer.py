"""A Llama-shaped decoder layer, forward and backward, written out.

Both directions by hand save what automatic differentiation keeps beside what is needed: of each
token only its residual stream, its heads and its gates are kept, the rest is computed again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.attention import Group, Heads, attend, attend_backward
from training.engine.attention import Kept as KeptAttention
from training.engine.dropout import Dropout, masked
from training.engine.gradients import Gradients
from training.engine.norm import RootMeanSquareNorm
from training.engine.projection import Kept, Projection, Shared, Sink
from training.engine.rotation import Rotation


class Context(NamedTuple):
    """What a pack brings to every layer."""

    rotation: Rotation
    groups: Mapping[int | None, tuple[Group, ...]]
    """By the window of attention; None where there is none."""
    dropout: Dropout
    training: bool
    """Whether a backward pass follows, and adapters drop inputs."""


@dataclass(frozen=True)
class LayerKept:
    """What of a layer's forward pass its backward pass needs; T tokens each."""

    stream: Tensor
    factor: Tensor
    raw: Heads
    heads: Heads
    head_factors: tuple[Tensor | None, Tensor | None]
    attention: list[KeptAttention]
    attended: Tensor
    middle: Tensor
    middle_factor: Tensor
    gate: Tensor
    up: Tensor
    inputs: tuple[Kept, ...]
    """Of queries, keys and values; of the attention's output; of gate and up; of down."""


@dataclass(frozen=True)
class Attention:
    """The projections of self-attention, and where queries and keys are normalised, those norms."""

    queries: Projection
    keys: Projection
    values: Projection
    output: Projection
    query_norm: RootMeanSquareNorm | None
    key_norm: RootMeanSquareNorm | None
    width: int
    """Of one head, d."""
    scale: float
    window: int | None
    """A token sees itself and the `window - 1` before it; None: all before it."""


@dataclass(frozen=True)
class FeedForward:
    """down(silu(gate(x)) * up(x)) (Shazeer, 2020)."""

    gate: Projection
    up: Projection
    down: Projection


@dataclass(frozen=True)
class Layer:
    """x += attention(norm(x)); x += feed_forward(norm(x))."""

    attention_norm: RootMeanSquareNorm
    attention: Attention
    feed_forward_norm: RootMeanSquareNorm
    feed_forward: FeedForward

    def projections(self) -> Iterator[Projection]:
        """All of them."""
        attention, forward = self.attention, self.feed_forward
        yield from (attention.queries, attention.keys, attention.values, attention.output)
        yield from (forward.gate, forward.up, forward.down)

    def with_projections(self, change: Callable[[Projection], Projection]) -> "Layer":
        """The same with every projection changed."""
        attention, forward = self.attention, self.feed_forward
        return replace(
            self,
            attention=replace(
                attention,
                queries=change(attention.queries),
                keys=change(attention.keys),
                values=change(attention.values),
                output=change(attention.output),
            ),
            feed_forward=FeedForward(
                gate=change(forward.gate), up=change(forward.up), down=change(forward.down)
            ),
        )

    @property
    def is_trained(self) -> bool:
        """Whether any parameter of it moves."""
        norms = (
            self.attention_norm,
            self.feed_forward_norm,
            self.attention.query_norm,
            self.attention.key_norm,
        )
        trained = [norm for norm in norms if norm and norm.trained_weight is not None]
        return bool(trained) or any(each.is_trained for each in self.projections())

    def forward(self, stream: Tensor, context: Context) -> tuple[Tensor, LayerKept]:
        """The stream (T, width) behind the layer, and what `backward` needs."""
        attention = self.attention
        normal, factor = self.attention_norm.forward(stream)
        outs, first = _project(
            normal, (attention.queries, attention.keys, attention.values), context
        )
        raw = Heads(*(out.view(len(stream), -1, attention.width) for out in outs))
        heads, head_factors = self._positioned(raw, context)
        attended, kept_attention = attend(heads, context.groups[attention.window], attention.scale)
        (out,), second = _project(attended, (attention.output,), context)
        middle = out.add_(stream)
        normal, middle_factor = self.feed_forward_norm.forward(middle)
        (gate, up), third = _project(
            normal, (self.feed_forward.gate, self.feed_forward.up), context
        )
        (out,), fourth = _project(F.silu(gate).mul_(up), (self.feed_forward.down,), context)
        kept = LayerKept(
            stream=stream,
            factor=factor,
            raw=raw if attention.query_norm else heads,
            heads=heads,
            head_factors=head_factors,
            attention=kept_attention,
            attended=attended,
            middle=middle,
            middle_factor=middle_factor,
            gate=gate,
            up=up,
            inputs=(first, second, third, fourth),
        )
        return out.add_(middle), kept

    def backward(
        self, gradient: Tensor, kept: LayerKept, context: Context, gradients: Gradients
    ) -> Tensor:
        """The gradient of the stream before the layer from that of the stream behind it.

        `gradient` and `kept` are used up.
        """
        through = self._feed_forward_backward(gradient, kept, gradients)
        gradient.add_(
            self.feed_forward_norm.backward(
                through, kept.middle, kept.middle_factor, gradients=gradients
            )
        )
        through = self._attention_backward(gradient, kept, context, gradients)
        return gradient.add_(
            self.attention_norm.backward(through, kept.stream, kept.factor, gradients=gradients)
        )

    def _positioned(
        self, raw: Heads, context: Context
    ) -> tuple[Heads, tuple[Tensor | None, Tensor | None]]:
        """Queries and keys normalised, where the layer does, and turned by their position."""
        queries, keys = raw.queries, raw.keys
        query_factor = key_factor = None
        if self.attention.query_norm is not None and self.attention.key_norm is not None:
            queries, query_factor = self.attention.query_norm.forward(queries)
            keys, key_factor = self.attention.key_norm.forward(keys)
        turned = Heads(context.rotation.apply(queries), context.rotation.apply(keys), raw.values)
        return turned, (query_factor, key_factor)

    def _feed_forward_backward(
        self, gradient: Tensor, kept: LayerKept, gradients: Gradients
    ) -> Tensor:
        """The gradient of what the gate and up projections took."""
        parts = self.feed_forward
        active = F.silu(kept.gate)
        product = active * kept.up
        by_product = _unproject(
            (gradient,), product, (parts.down,), kept=kept.inputs[3], gradients=gradients
        )
        by_up = active.mul_(by_product)
        by_gate = torch.ops.aten.silu_backward(by_product.mul_(kept.up), kept.gate)
        normal = self.feed_forward_norm.again(kept.middle, kept.middle_factor)
        return _unproject(
            (by_gate, by_up),
            normal,
            (parts.gate, parts.up),
            kept=kept.inputs[2],
            gradients=gradients,
        )

    def _attention_backward(
        self, gradient: Tensor, kept: LayerKept, context: Context, gradients: Gradients
    ) -> Tensor:
        """The gradient of what the projections of queries, keys and values took."""
        parts = self.attention
        by_attended = _unproject(
            (gradient,),
            kept.attended,
            (parts.output,),
            kept=kept.inputs[1],
            gradients=gradients,
        )
        by_heads = attend_backward(
            by_attended,
            kept.heads,
            context.groups[parts.window],
            scale=parts.scale,
            kept=kept.attention,
        )
        by_query = context.rotation.undo(by_heads.queries)
        by_key = context.rotation.undo(by_heads.keys)
        query_factor, key_factor = kept.head_factors
        if parts.query_norm is not None and query_factor is not None:
            by_query = parts.query_norm.backward(
                by_query, kept.raw.queries, query_factor, gradients=gradients
            )
        if parts.key_norm is not None and key_factor is not None:
            by_key = parts.key_norm.backward(by_key, kept.raw.keys, key_factor, gradients=gradients)
        normal = self.attention_norm.again(kept.stream, kept.factor)
        return _unproject(
            tuple(each.reshape(len(normal), -1) for each in (by_query, by_key, by_heads.values)),
            normal,
            (parts.queries, parts.keys, parts.values),
            kept=kept.inputs[0],
            gradients=gradients,
        )


def _project(
    inputs: Tensor, projections: Sequence[Projection], context: Context
) -> tuple[tuple[Tensor, ...], Kept]:
    """Every projection of one input; their adapters share a dropout mask."""
    mask, boost = None, 1.0
    if context.training and any(each.adapter for each in projections):
        mask, boost = context.dropout.mask(inputs), context.dropout.boost
    shared = Shared(inputs, masked(inputs, mask), mask, boost)
    outs, lows = zip(*(each.forward(shared) for each in projections), strict=True)
    return outs, Kept(mask, boost, lows)


def _unproject(
    by_outputs: Sequence[Tensor],
    inputs: Tensor,
    projections: Sequence[Projection],
    *,
    kept: Kept,
    gradients: Gradients,
) -> Tensor:
    """The gradient of one input from those of all its projections."""
    shared = Shared(inputs, masked(inputs, kept.mask), kept.mask, kept.boost)
    sink = Sink(gradients, shared)
    for projection, by_output, low in zip(projections, by_outputs, kept.lows, strict=True):
        projection.backward(by_output, low, sink)
    return sink.total()
