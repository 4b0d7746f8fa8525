"""A whole Llama-shaped model: embedding, layers, last norm, head; forward and backward."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import Parameter

from training.engine.dropout import Dropout
from training.engine.flash import serves
from training.engine.gradients import Gradients
from training.engine.head import Head, Sums, TokenSums
from training.engine.lanes import Lanes
from training.engine.layer import Context, Layer, LayerKept
from training.engine.norm import RootMeanSquareNorm
from training.engine.packs import Pack
from training.engine.rotation import Rotation
from training.engine.rows import lay_out


@dataclass(frozen=True)
class Decoder:
    """The parts of a model in the order in which a token meets them."""

    embedding: Tensor
    trained_embedding: Parameter | None
    angles: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Cosines and sines (1, T, d), for some tensor of the dtype wanted and positions (1, T)."""
    layers: tuple[Layer, ...]
    norm: RootMeanSquareNorm
    head: Head
    dropout: float
    """The probability with which an adapter drops an element of its input."""
    widest: int
    """Elements of the widest input that a projection takes."""
    reordered: tuple[Layer, ...] = ()
    """The layers with their frozen weights copied for the kernels, where they were."""

    def shortened(self, count: int) -> "Decoder":
        """The same with its last layers alone, of which no result is to be expected."""
        return replace(self, layers=self.layers[-count:], reordered=())

    def with_reordered_weights(self, spare_bytes: int, lanes: Lanes) -> "Decoder":
        """The same, faster, with frozen weights that gradients pass copied for the kernels, where
        that takes no more than so much memory; else itself. The lanes share the work."""
        first = self._first_trained()
        passed = self.layers[first:]
        frozen = [each for layer in passed for each in layer.projections() if each.is_plain]
        if not frozen or 2 * sum(each.plain_weight.nbytes for each in frozen) > spare_bytes:
            return self

        def reordered(_place: int, layer: Layer) -> Layer:
            return layer.with_projections(lambda each: each.reordered() if each.is_plain else each)

        return replace(self, reordered=(*self.layers[:first], *lanes.run(reordered, passed)))

    def replaced_weights(self) -> Iterator[Tensor]:
        """Those of which copies are computed with."""
        for plain, reordered in zip(self.layers, self.reordered, strict=False):
            pairs = zip(plain.projections(), reordered.projections(), strict=True)
            yield from (one.plain_weight for one, other in pairs if one is not other)

    @property
    def layers_kept(self) -> int:
        """Layers that keep what a backward pass needs."""
        return len(self.layers) - self._first_trained()

    @property
    def _computed(self) -> tuple[Layer, ...]:
        return self.reordered or self.layers

    @torch.no_grad()
    def hidden(self, pack: Pack) -> Tensor:
        """What the head is given for each token of a pack (T, width), without dropout."""
        stream, context = self._begin(pack)
        for layer in self._computed:
            stream, _ = layer.forward(stream, context)
        return self.norm.forward(stream)[0]

    @torch.no_grad()
    def score(self, pack: Pack) -> TokenSums:
        """Loss and accuracy at the tokens that bear loss, without dropout."""
        stream, context = self._begin(pack)
        for layer in self._computed:
            stream, _ = layer.forward(stream, context)
        hidden, _ = self.norm.forward(stream.index_select(0, pack.positions))
        return self.head.score(hidden, pack.targets)

    @torch.no_grad()
    def backward(self, pack: Pack, *, share: float, seed: int, gradients: Gradients) -> TokenSums:
        """Add the gradient of `share` times the pack's summed loss; the sums as they are.

        `seed` decides what dropout drops.
        """
        dropout = self.dropout_for(pack, seed=seed)
        return self.add_gradients(pack, share=share, dropout=dropout, gradients=gradients).read()

    @torch.no_grad()
    def add_gradients(
        self, pack: Pack, *, share: float | Tensor, dropout: Dropout, gradients: Gradients
    ) -> Sums:
        """The same, without waiting for the sums."""
        stream, context = self._begin(pack, dropout)
        first = self._first_trained()
        kept: list[LayerKept] = []
        for index, layer in enumerate(self._computed):
            stream, parts = layer.forward(stream, context)
            if index >= first:
                kept.append(parts)
            del parts
        chosen = stream.index_select(0, pack.positions)
        hidden, factor = self.norm.forward(chosen)
        by_hidden, sums = self.head.backward(hidden, pack.targets, share=share, gradients=gradients)
        _, normal = self.norm.again(chosen, factor)
        by_chosen = self.norm.backward(by_hidden, normal, factor, gradients=gradients)
        gradient = torch.zeros_like(stream).index_copy_(0, pack.positions, by_chosen)
        for layer in reversed(self._computed[first:]):
            gradient = layer.backward(gradient, kept.pop(), context, gradients)
        if self.trained_embedding is not None:
            gradients.rows(self.trained_embedding).index_add_(0, pack.input_ids, gradient.float())
        gradients.settle()
        return sums

    def dropout_for(self, pack: Pack, *, seed: int) -> Dropout:
        """What `seed` makes adapters drop in a pack."""
        return Dropout(
            self.dropout,
            seed=seed,
            largest=pack.tokens * self.widest,
            dtype=self.embedding.dtype,
            device=self.embedding.device,
        )

    @property
    def keeps_rows_by_kernel(self) -> bool:
        """Whether FlashAttention keeps the rows of a pack apart in every layer."""
        where = self.embedding.dtype, self.embedding.device
        return all(serves(*where, width=layer.attention.width) for layer in self.layers)

    def _begin(self, pack: Pack, dropout: Dropout | None = None) -> tuple[Tensor, Context]:
        stream = self.embedding.index_select(0, pack.input_ids)
        cosines, sines = self.angles(stream[None], pack.position_ids[None])
        half = cosines.shape[-1] // 2
        cosines, sines = (
            cosines[0, :, None, :half].contiguous(),
            sines[0, :, None, :half].contiguous(),
        )
        attentions = [layer.attention for layer in self.layers]
        context = Context(
            rotation=Rotation(cosines, sines, -sines),
            rows={
                window: lay_out(pack, like=stream, width=width, window=window)
                for window, width in {(each.window, each.width) for each in attentions}
            },
            dropout=dropout,
        )
        return stream, context

    def _first_trained(self) -> int:
        """The lowest layer that a gradient must reach."""
        if self.trained_embedding is not None:
            return 0
        trained = (index for index, layer in enumerate(self.layers) if layer.is_trained)
        return next(trained, len(self.layers))
