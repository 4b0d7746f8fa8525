"""A model whose tensors are split among processes, through its own layers and automatic differentiation.

Its weights are there only while a pass runs, so that nothing may keep hold of them: those of the head
are asked for in the middle of the pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import Parameter

from training.devices.layout import Layout
from training.devices.world import Passage, directly
from training.engine.generic import GenericDecoder, mode
from training.engine.gradients import Gradients
from training.engine.head import TokenSums
from training.engine.packs import Pack
from training.engine.reading import head_of


@dataclass(frozen=True)
class ShardedDecoder:
    """Computes by a decoder inside the passage that gathers what each layer needs."""

    decoder: GenericDecoder
    trained: Sequence[Parameter]
    """The trained parameters, of which a part lies in this process."""
    passage: Passage
    whole_logits: bool
    """Whether the head cannot be applied by itself."""
    likeness: GenericDecoder
    """The like of the decoder as it was before it was split, without memory."""
    layout: Layout

    @torch.no_grad()
    def hidden(self, pack: Pack) -> Tensor:
        """What the head is given for each token of a pack (T, width), without dropout."""
        return self.passage(lambda: self.decoder.hidden(pack))

    @torch.no_grad()
    def score(self, pack: Pack) -> TokenSums:
        """Loss and accuracy at the tokens that bear loss, without dropout."""

        def compute() -> TokenSums:
            if self.whole_logits:
                return self.decoder.score(pack)
            hidden = self.decoder.hidden(pack)[pack.positions]
            return head_of(self.decoder.model).score(hidden, pack.targets)

        return self.passage(compute)

    def backward(self, pack: Pack, *, share: float, seed: int, gradients: Gradients) -> TokenSums:
        """Add the gradient of `share` times the pack's summed loss, and those of the other
        processes; the sums as they are in this one. `seed` decides what dropout drops.
        """
        devices = [pack.input_ids.device] if pack.input_ids.is_cuda else []
        with torch.random.fork_rng(devices), mode(self.decoder.model, training=True):
            torch.manual_seed(seed)
            beside = _Beside()
            output, gradient, sums = self.passage(lambda: self._forward(pack, share, beside))
            torch.autograd.backward([output, *beside.parameters], [gradient, *beside.gradients])
        for parameter in self.trained:
            if parameter.grad is not None:
                gradients.add(parameter, parameter.grad)
                parameter.grad = None
        return sums

    def rehearse(self, pack: Pack, gradients: Gradients) -> None:
        """Make a backward pass of the likeness, alone, for a look at what it would hold."""
        alike = replace(self, decoder=self.likeness, trained=(), passage=directly)
        with self.likeness.poured_into(gradients):
            alike.backward(pack, share=1.0, seed=0, gradients=gradients)

    def _forward(
        self, pack: Pack, share: float, beside: "_Beside"
    ) -> tuple[Tensor, Tensor, TokenSums]:
        """Where automatic differentiation sets out from, the gradient there, and the sums; the
        head's own gradients go to `beside`."""
        if self.whole_logits:
            loss, correct = self.decoder.whole(pack)
            return loss, torch.full_like(loss, share), TokenSums(loss.item(), correct)
        chosen = self.decoder.body(pack)[pack.positions]
        head, found = head_of(self.decoder.model), Gradients()
        with torch.no_grad():
            by_chosen, sums = head.backward(chosen, pack.targets, share=share, gradients=found)
        for parameter in (head.trained_weight, head.trained_bias):
            if parameter is not None and (gradient := found.take(parameter)) is not None:
                beside.parameters.append(parameter)
                beside.gradients.append(gradient.to(parameter.dtype))
        return chosen, by_chosen, sums.read()


@dataclass
class _Beside:
    """Gathered parameters of the head, and their gradients. They leave a pass by here: whatever the
    passage itself returns gets a hook, and of a parameter's hooks there would be one more each pass."""

    parameters: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
