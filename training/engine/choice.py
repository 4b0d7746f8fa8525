"""Which way of computing a model is taken: the fastest that is found to agree with the model itself.

Each candidate is asked for what the head is given at every token of a pack of two rows, and must say
what the model says of each row alone. Rows that saw each other, a scaled embedding, a window or an
activation passed over would show there, an order of magnitude above rounding.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.data.rows import Row, TokenRow
from training.engine.generic import GenericDecoder, mode
from training.engine.gradients import Gradients
from training.engine.head import Head, TokenSums
from training.engine.native.library import library
from training.engine.packs import Pack, make_pack
from training.engine.reading import OtherShape, head_of, read
from training.events import ComputePath

_PROBED_TOKENS: Final = 48
_TOLERANCE: Final = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.1}
"""How far vectors may differ, relative to their length. In bf16 two orders of summation differ by
some hundredths after many layers; in fp32 by some millionths."""
_ONE_ALONE: Final = 3.0
"""How many times as far a single token's vector may lie: that of a row's first token has a few elements
much larger than all others, and of these the rounding shows, two and three times as much as on average."""


class Passes(Protocol):
    """What makes the backward passes of a model."""

    def backward(self, pack: Pack, *, share: float, seed: int, gradients: Gradients) -> TokenSums:
        """Add the gradient of `share` times the pack's summed loss; the sums as they are."""


class Computes(Passes, Protocol):
    """A model as the engine uses it."""

    def hidden(self, pack: Pack) -> Tensor:
        """What the head is given for each token of a pack (T, width), without dropout."""

    def score(self, pack: Pack) -> TokenSums:
        """Loss and accuracy at the tokens that bear loss, without dropout."""


class Choice(NamedTuple):
    """The way taken, and why no faster one was."""

    computes: Computes
    path: ComputePath
    reasons: tuple[str, ...]
    """What spoke against the faster ones, each a clause without a full stop."""
    whole_logits: bool
    """Whether the head could not be applied by itself, so that it is at every position."""


def choose(
    model: PreTrainedModel, rows: Sequence[TokenRow], device: torch.device, *, sharded: bool = False
) -> Choice:
    """The fastest way that agrees with the model on the heads of some rows.

    A model that is going to be `sharded` can be computed by its own layers alone.
    """
    probe = [_beginning(row) for row in rows[:2]]
    head = head_of(model)
    reference = GenericDecoder(model, head, packs=False)
    first, *others = [make_pack([row], device) for row in probe]
    given, logits = _computed(model, first)
    reasons = ["its tensors are split among devices"] if sharded else []
    if given is None or not _head_agrees(head, given, logits):
        reasons.append("its output head does more than it says")
        return Choice(
            GenericDecoder(model, None, packs=False), ComputePath.PADDED, tuple(reasons), True
        )
    expected = {first.rows[0].line: given}
    expected |= {pack.rows[0].line: reference.hidden(pack) for pack in others}
    together = make_pack(probe, device)
    wanted = torch.cat([expected[row.line] for row in together.rows])
    candidates: list[tuple[ComputePath, Callable[[], Computes]]] = [
        (ComputePath.FUSED, lambda: read(model)),
        (ComputePath.PACKED, lambda: GenericDecoder(model, head, packs=True)),
    ]
    for path, make in candidates[1:] if sharded else candidates:
        try:
            computes = make()
            difference = _difference(computes.hidden(together), wanted)
        except (OtherShape, TypeError) as error:
            reasons.append(f"{path} cannot compute it: {error}")
            continue
        if difference <= _TOLERANCE[wanted.dtype]:
            if path is ComputePath.FUSED and device.type == "cpu" and (lack := library().reason):
                reasons.append(f"{path} has no kernels of its own: {lack}")
            return Choice(computes, path, tuple(reasons), False)
        reasons.append(f"{path} would differ by {difference:.2g} of what it computes")
    return Choice(reference, ComputePath.PADDED, tuple(reasons), False)


def _beginning(row: TokenRow) -> Row:
    ids, labels = row.input_ids[:_PROBED_TOKENS], row.labels[:_PROBED_TOKENS]
    return Row(row.line, ids, labels, content=b"")


def _difference(found: Tensor, wanted: Tensor) -> float:
    """How far tokens' vectors lie apart, relative to their length: the root of the mean square, or what
    the farthest allows."""
    if found.shape != wanted.shape:
        return float("inf")
    apart = torch.linalg.vector_norm((found - wanted).float(), dim=-1)
    length = torch.linalg.vector_norm(wanted.float(), dim=-1)
    relative = apart / length.clamp_min(1e-9)
    farthest = relative.max() / _ONE_ALONE
    return float(torch.maximum(relative.square().mean().sqrt(), farthest))


@torch.no_grad()
def _computed(model: PreTrainedModel, pack: Pack) -> tuple[Tensor | None, Tensor]:
    """What the model's body gives its head for each token of a row, and the logits of the whole model;
    None for a model that has no body of its own."""
    body = getattr(model, model.base_model_prefix, model)
    given: list[Tensor] = []
    with mode(model, training=False):
        hook = body.register_forward_hook(lambda _body, _inputs, output: given.append(output[0]))
        try:
            logits = model(input_ids=pack.input_ids[None], use_cache=False).logits
        finally:
            hook.remove()
    return None if body is model else given[0][0], logits[0].float()


@torch.no_grad()
def _head_agrees(head: Head, given: Tensor, logits: Tensor) -> bool:
    """Whether the head, applied by itself, gives the logits of the whole model."""
    return _difference(head.logits(given), logits) <= _TOLERANCE[given.dtype]
