"""A Llama-shaped decoder layer, forward and backward, written out.

Both directions by hand save what automatic differentiation keeps beside what is needed: of each
token only its residual stream, its heads and its gates are kept, the rest is computed again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from training.engine.dropout import Dropout
from training.engine.fan import Fan
from training.engine.gated import again, gated, gated_backward
from training.engine.gradients import Gradients
from training.engine.heads import Heads
from training.engine.norm import RootMeanSquareNorm
from training.engine.projection import Kept, Projection
from training.engine.rotation import Rotation
from training.engine.rows import Kept as KeptAttention
from training.engine.rows import Rows, attend, attend_backward


class Context(NamedTuple):
    """What a pack brings to every layer."""

    rotation: Rotation
    rows: Mapping[int | None, Rows]
    """By the window of attention; None where there is none."""
    dropout: Dropout | None
    """None where adapters drop nothing, because no backward pass follows."""


@dataclass(frozen=True)
class LayerKept:
    """What of a layer's forward pass its backward pass needs; T tokens each."""

    stream: Tensor
    factor: Tensor
    raw: Heads
    heads: Heads
    head_factors: tuple[Tensor | None, Tensor | None]
    attention: KeptAttention
    attended: Tensor
    middle: Tensor
    middle_factor: Tensor
    gate: Tensor
    up: Tensor
    inputs: tuple[Kept, Kept, Kept, Kept]
    """Of queries, keys and values; of the attention's output; of gate and up; of down."""


@dataclass(frozen=True)
class Attention:
    """The projections of self-attention, and where queries and keys are normalised, those norms."""

    inputs: Fan
    """Queries, keys and values."""
    output: Fan
    query_norm: RootMeanSquareNorm | None
    key_norm: RootMeanSquareNorm | None
    width: int
    """Of one head, d."""
    scale: float
    window: int | None
    """A token sees itself and the `window - 1` before it; None: all before it."""


@dataclass(frozen=True)
class FeedForward:
    """down(silu(gate(x)) * up(x))."""

    opening: Fan
    """Gate and up."""
    down: Fan


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
        for fan in (attention.inputs, attention.output, forward.opening, forward.down):
            yield from fan.projections

    def with_projections(self, change: Callable[[Projection], Projection]) -> "Layer":
        """The same with every projection changed."""

        def changed(fan: Fan) -> Fan:
            return Fan(tuple(change(each) for each in fan.projections))

        attention, forward = self.attention, self.feed_forward
        return replace(
            self,
            attention=replace(
                attention, inputs=changed(attention.inputs), output=changed(attention.output)
            ),
            feed_forward=FeedForward(changed(forward.opening), changed(forward.down)),
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
        attention, forward = self.attention, self.feed_forward
        normal, factor = self.attention_norm.forward(stream)
        outs, first = attention.inputs.forward(normal, context.dropout)
        raw = Heads(*(each.view(len(stream), -1, attention.width) for each in outs))
        heads, head_factors = self._positioned(raw, context)
        attended, kept_attention = attend(heads, context.rows[attention.window], attention.scale)
        (out,), second = attention.output.forward(attended, context.dropout)
        middle = out.add_(stream)
        normal, middle_factor = self.feed_forward_norm.forward(middle)
        (gate, up), third = forward.opening.forward(normal, context.dropout)
        (out,), fourth = forward.down.forward(gated(gate, up), context.dropout)
        kept = LayerKept(
            stream=stream,
            factor=factor,
            raw=raw,
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
        gradient.add_(self._feed_forward_backward(gradient, kept, gradients))
        return gradient.add_(self._attention_backward(gradient, kept, context, gradients))

    def _positioned(
        self, raw: Heads, context: Context
    ) -> tuple[Heads, tuple[Tensor | None, Tensor | None]]:
        """Queries and keys normalised, where the layer does, and turned by their position. Where it
        does not, `raw` itself is turned."""
        heads = raw
        factors: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.attention.query_norm is not None and self.attention.key_norm is not None:
            queries, query_factor = self.attention.query_norm.forward(raw.queries)
            keys, key_factor = self.attention.key_norm.forward(raw.keys)
            heads, factors = Heads(queries, keys, raw.values), (query_factor, key_factor)
        context.rotation.apply_(heads.queries)
        context.rotation.apply_(heads.keys)
        return heads, factors

    def _feed_forward_backward(
        self, gradient: Tensor, kept: LayerKept, gradients: Gradients
    ) -> Tensor:
        """What the feed-forward part adds to the gradient of the stream before it."""
        parts = self.feed_forward
        product, active = again(kept.gate, kept.up)
        by_product = parts.down.backward(
            (gradient,), product, kept=kept.inputs[3], gradients=gradients
        )
        del product
        by_gate, by_up = gated_backward(by_product, kept.gate, kept.up, active)
        outputs, normal = self.feed_forward_norm.again(kept.middle, kept.middle_factor)
        through = parts.opening.backward(
            (by_gate, by_up), outputs, kept=kept.inputs[2], gradients=gradients
        )
        return self.feed_forward_norm.backward(
            through, normal, kept.middle_factor, gradients=gradients
        )

    def _attention_backward(
        self, gradient: Tensor, kept: LayerKept, context: Context, gradients: Gradients
    ) -> Tensor:
        """What self-attention adds to the gradient of the stream before it."""
        parts = self.attention
        by_attended = parts.output.backward(
            (gradient,), kept.attended, kept=kept.inputs[1], gradients=gradients
        )
        by_heads = attend_backward(
            by_attended,
            kept.heads,
            context.rows[parts.window],
            scale=parts.scale,
            kept=kept.attention,
        )
        context.rotation.undo_(by_heads.queries)
        context.rotation.undo_(by_heads.keys)
        self._head_norms_backward(by_heads, kept, gradients)
        outputs, normal = self.attention_norm.again(kept.stream, kept.factor)
        through = parts.inputs.backward(
            tuple(each.flatten(1) for each in by_heads),
            outputs,
            kept=kept.inputs[0],
            gradients=gradients,
        )
        return self.attention_norm.backward(through, normal, kept.factor, gradients=gradients)

    def _head_norms_backward(self, by_heads: Heads, kept: LayerKept, gradients: Gradients) -> None:
        """From the gradients of normalised queries and keys to those of raw ones, in place."""
        norms = (self.attention.query_norm, self.attention.key_norm)
        for by, raw, norm, factor in zip(
            by_heads, kept.raw, norms, kept.head_factors, strict=False
        ):
            if norm is not None and factor is not None:
                _, normal = norm.again(raw, factor)
                by.copy_(norm.backward(by, normal, factor, gradients=gradients))
