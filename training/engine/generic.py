"""Any causal language model, through its own layers and automatic differentiation.

Slower than the decoder written out, and right for every architecture: rows are packed where its
attention can be told to keep them apart, and else padded. Where its head can be applied by itself,
that is done to the tokens alone that bear loss.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn import functional as F  # noqa: N812 - the name the field knows
from transformers import PreTrainedModel

from training.engine.gradients import Gradients
from training.engine.head import Head, TokenSums
from training.engine.packed_attention import packed
from training.engine.packs import Pack


@dataclass
class GenericDecoder:
    """A model's own forward pass. Without a `head`, logits are computed at every position."""

    model: PreTrainedModel
    head: Head | None
    packs: bool
    """Whether attention keeps the rows of a pack apart; else they are padded to one length."""
    _sink: Gradients | None = field(default=None, init=False)
    _heard: set[Parameter] = field(default_factory=set, init=False)

    @torch.no_grad()
    def hidden(self, pack: Pack) -> Tensor:
        """What the head is given for each token of a pack (T, width), without dropout."""
        with mode(self.model, training=False):
            return self.body(pack)

    @torch.no_grad()
    def score(self, pack: Pack) -> TokenSums:
        """Loss and accuracy at the tokens that bear loss, without dropout."""
        with mode(self.model, training=False):
            if self.head is None:
                loss, correct = self.whole(pack)
                return TokenSums(loss.item(), correct)
            return self.head.score(self.body(pack)[pack.positions], pack.targets)

    def backward(self, pack: Pack, *, share: float, seed: int, gradients: Gradients) -> TokenSums:
        """Add the gradient of `share` times the pack's summed loss; the sums as they are.

        `seed` decides what dropout drops.
        """
        devices = [pack.input_ids.device] if pack.input_ids.is_cuda else []
        with (
            torch.random.fork_rng(devices),
            mode(self.model, training=True),
            self.poured_into(gradients),
        ):
            torch.manual_seed(seed)
            if self.head is None:
                loss, correct = self.whole(pack)
                (loss * share).backward()  # type: ignore[no-untyped-call]
                return TokenSums(loss.item(), correct)
            chosen = self.body(pack)[pack.positions]
            with torch.no_grad():
                by_chosen, sums = self.head.backward(
                    chosen, pack.targets, share=share, gradients=gradients
                )
            if chosen.requires_grad:
                chosen.backward(by_chosen)  # type: ignore[no-untyped-call]
            return sums.read()

    @contextmanager
    def poured_into(self, gradients: Gradients) -> Iterator[None]:
        """Hand each gradient over as soon as it is there, so that none is kept in the model's dtype."""
        for parameter in self.model.parameters():  # not always all: a dry run leaves layers out
            if parameter.requires_grad and parameter not in self._heard:
                parameter.register_post_accumulate_grad_hook(self._pour)  # type: ignore[no-untyped-call]
                self._heard.add(parameter)
        self._sink = gradients
        try:
            yield
        finally:
            self._sink = None

    def _pour(self, parameter: Parameter) -> None:
        if self._sink is not None and parameter.grad is not None:
            self._sink.add(parameter, parameter.grad)
            parameter.grad = None

    def body(self, pack: Pack) -> Tensor:
        """What the head is given for each token (T, width), in the mode in which the model is."""
        body = getattr(self.model, self.model.base_model_prefix, self.model)
        return _by_token(self._forward(body, pack)[0], pack, packs=self.packs)

    def whole(self, pack: Pack) -> tuple[Tensor, int]:
        """Summed loss and correct predictions, by logits at every position."""
        logits = _by_token(self._forward(self.model, pack)[0], pack, packs=self.packs)
        chosen = logits[pack.positions].float()
        correct = int((chosen.argmax(dim=-1) == pack.targets).sum())
        return F.cross_entropy(chosen, pack.targets, reduction="sum"), correct

    def _forward(self, module: Module, pack: Pack) -> tuple[Tensor, ...]:
        options: dict[str, object] = {"input_ids": _padded(pack)}
        if self.packs:
            options = {
                "input_ids": pack.input_ids[None],
                "position_ids": pack.position_ids[None],
                "lengths": pack.lengths,
            }
            if pack.input_ids.is_cuda:
                options["borders"] = pack.borders
        with packed(self.model) if self.packs else nullcontext():
            outputs: tuple[Tensor, ...] = module(**options, use_cache=False, return_dict=False)
        return outputs


def _padded(pack: Pack) -> Tensor:
    """The rows padded right, where causal attention never looks, so that no mask is needed."""
    rows = torch.split(pack.input_ids, list(pack.lengths))
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _by_token(outputs: Tensor, pack: Pack, *, packs: bool) -> Tensor:
    """(1, T, width) or (rows, longest, width) as (T, width)."""
    if packs:
        return outputs[0]
    return torch.cat([row[:length] for row, length in zip(outputs, pack.lengths, strict=True)])


@contextmanager
def mode(model: Module, *, training: bool) -> Iterator[None]:
    """Put a model into training mode or out of it, for a while."""
    former = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(former)
