"""The output head and the cross-entropy behind it, for some tokens at a time.

Only tokens that bear loss are projected onto the vocabulary, and of those only a chunk is there at
once: the gradient is computed in the same breath, so that no (tokens, vocabulary) tensor is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.bounds import logits_chunks, logits_groups
from training.engine.fusing import kernels_for
from training.engine.gradients import Gradients


class TokenSums(NamedTuple):
    """Summed loss in nats, and correct predictions, over some tokens."""

    loss: float
    correct: int


class Sums(NamedTuple):
    """The same while a device still computes them; to read them is to wait for it."""

    loss: Tensor
    correct: Tensor

    def read(self) -> TokenSums:
        """The numbers."""
        return TokenSums(float(self.loss), int(self.correct))


@dataclass(frozen=True)
class Head:
    """Logits W x + b, multiplied by `scale` and then squashed to `cap` * tanh(logits / cap)."""

    weight: Callable[[], Tensor]
    bias: Tensor | None = None
    trained_weight: Parameter | None = None
    trained_bias: Parameter | None = None
    scale: float = 1.0
    cap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits (N, vocabulary) of all tokens at once, in fp32."""
        return self._logits(hidden, self.weight())[0]

    def score(self, hidden: Tensor, targets: Tensor) -> TokenSums:
        """Sums over tokens (N, width) that should predict `targets` (N)."""
        weight = self.weight()
        parts = []
        for rows, wanted in self._chunks(hidden, targets, weight):
            logits, _ = self._logits(rows, weight)
            loss = F.cross_entropy(logits, wanted, reduction="sum")
            parts.append(Sums(loss, (logits.argmax(dim=-1) == wanted).sum()))
        return _total(parts).read()

    def backward(
        self, hidden: Tensor, targets: Tensor, *, share: float | Tensor, gradients: Gradients
    ) -> tuple[Tensor, Sums]:
        """The gradient of `share` times the summed loss at the tokens, and the sums as they are."""
        weight = self.weight()
        by_hidden: list[Tensor] = []
        parts: list[Sums] = []
        for rows, wanted in self._groups(hidden, targets, weight):
            by_logits, sums = self._by_logits_of_all(
                rows, wanted, weight=weight, factor=share * self.scale, gradients=gradients
            )
            parts += sums
            by_hidden.append(by_logits @ weight)
            if self.trained_weight is not None:
                gradients.add(self.trained_weight, by_logits.t() @ rows)
            del by_logits  # not beside those of the next group
        return torch.cat(by_hidden), _total(parts)

    def _by_logits_of_all(
        self,
        hidden: Tensor,
        targets: Tensor,
        *,
        weight: Tensor,
        factor: float | Tensor,
        gradients: Gradients,
    ) -> tuple[Tensor, list[Sums]]:
        """The gradient by the logits of a group, in the dtype of `weight`, and each chunk's sums."""
        chunks = self._parts(hidden, targets, weight)
        together = weight.new_empty(len(hidden), len(weight)) if len(chunks) > 1 else None
        narrow, parts = [], []
        places = [None] if together is None else together.tensor_split(len(chunks))
        for (rows, wanted), place in zip(chunks, places, strict=True):
            by_logits, sums = self._by_logits(rows, wanted, weight, factor)
            parts.append(sums)
            if self.trained_bias is not None:
                gradients.add(self.trained_bias, by_logits.sum(0, dtype=torch.float32))
            narrow.append(by_logits.to(weight.dtype) if place is None else place.copy_(by_logits))
        return narrow[0] if together is None else together, parts

    def _by_logits(
        self, rows: Tensor, wanted: Tensor, weight: Tensor, factor: float | Tensor
    ) -> tuple[Tensor, Sums]:
        """`factor` times the gradient of the loss by the logits, these multiplied already."""
        if self.cap is None and (kernels := kernels_for(rows)):
            logits = F.linear(rows, weight, self.bias)
            losses, hits = kernels.cross_entropy_(logits, wanted, factor=factor, scale=self.scale)
            return logits, Sums(losses.sum(), hits.sum())
        logits, slope = self._logits(rows, weight)
        highest, likeliest = logits.max(dim=-1, keepdim=True)
        correct = (likeliest.squeeze(1) == wanted).sum()
        logits.sub_(highest)
        right = logits.gather(1, wanted[:, None])
        total = logits.exp_().sum(dim=-1, keepdim=True)
        loss = (total.log() - right).sum()
        by_logits = logits.mul_(factor / total)
        by_logits.scatter_add_(1, wanted[:, None], torch.ones_like(right).mul_(-factor))
        if slope is not None:
            by_logits.mul_(slope)
        return by_logits, Sums(loss, correct)

    def _groups(
        self, hidden: Tensor, targets: Tensor, weight: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Tokens whose products with the gradient by their logits are made at once: a chunk, unless
        the weight's gradient is wanted too."""
        if self.trained_weight is None:
            return self._chunks(hidden, targets, weight)
        count = logits_groups(len(hidden), len(weight), on_cpu=not hidden.is_cuda)
        return _divided(hidden, targets, count)

    def _parts(
        self, hidden: Tensor, targets: Tensor, weight: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Tokens of a group whose logits are there in fp32 at once: all, where they never are."""
        if self.cap is None and kernels_for(hidden) is not None:
            return [(hidden, targets)]
        return self._chunks(hidden, targets, weight)

    def _chunks(
        self, hidden: Tensor, targets: Tensor, weight: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Tokens whose logits are there at once."""
        count = logits_chunks(len(hidden), len(weight), on_cpu=not hidden.is_cuda)
        return _divided(hidden, targets, count)

    def _logits(self, hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits in fp32, and where they are squashed the slope of that."""
        logits = F.linear(hidden, weight, self.bias).float()
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap is None:
            return logits, None
        squashed = torch.tanh(logits.div_(self.cap))
        slope = 1 - squashed.square()
        return squashed.mul_(self.cap), slope


def _divided(hidden: Tensor, targets: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    parts = hidden.tensor_split(count), targets.tensor_split(count)
    return list(zip(*parts, strict=True))


def _total(parts: Sequence[Sums]) -> Sums:
    """The sums of chunks added up in fp64."""
    loss = torch.stack([each.loss for each in parts]).sum(dtype=torch.float64)
    return Sums(loss, torch.stack([each.correct for each in parts]).sum())
