"""The loss and accuracy of rows, computed only where a token bears loss.

The output head is the widest layer of a small model; it is applied to the positions that predict
a trained token and to no other. Architectures that do more after their head than the head itself
are found by comparison, and take the whole forward pass.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F  # noqa: N812 - the name the field knows
from transformers import PreTrainedModel

from training.batches import Batch, collate, packs
from training.hardware import Hardware
from training.rendering import IGNORED, Row
from training.scores import Scores
from training.world import WORLD_OF_ONE, World

_AFTER_THE_HEAD: Final = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Options of architectures that scale or squash what the head returns."""

_PROBED_TOKENS: Final = 32


class TokenLoss:
    """Sums of loss over rows, with or without gradients, for one model."""

    def __init__(
        self,
        model: PreTrainedModel,
        hardware: Hardware,
        *,
        padding_id: int,
        probe: Row,
        world: World = WORLD_OF_ONE,
    ) -> None:
        self._model = model
        self._world = world
        self._hardware = hardware
        self._padding_id = padding_id
        self.whole_forward = not self._head_can_be_split(probe)
        """True where the head had to be applied to every position."""

    def backward(self, rows: Sequence[Row], *, step_tokens: int) -> Scores:
        """Add the gradient of the rows' share in the mean loss over `step_tokens` tokens.

        Of the rows that all processes are given alike, each takes its part; the scores are of all.
        """
        scores = Scores()
        for batch, counts in self._batches(rows):
            loss, correct = self._sums(batch)
            if batch.trained_tokens or self._world.is_sharded:
                (loss * counts / step_tokens).backward()  # type: ignore[no-untyped-call]
            if counts:
                scores = scores.plus(Scores(loss.item(), int(correct), batch.trained_tokens))
        return self._world.total(scores)

    @torch.no_grad()
    def score(self, rows: Sequence[Row]) -> Scores:
        """The rows' loss and accuracy; the caller chooses the model's mode."""
        scores = Scores()
        for batch, counts in self._batches(rows):
            loss, correct = self._sums(batch)
            if counts:
                scores = scores.plus(Scores(loss.item(), int(correct), batch.trained_tokens))
        return self._world.total(scores)

    def _batches(self, rows: Sequence[Row]) -> Iterator[tuple[Batch, bool]]:
        """This process's batches, and whether they count."""
        for turn in self._world.turns(rows, packs):
            if turn.rows:
                yield collate(turn.rows, self._padding_id), turn.counts

    def _sums(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._world.through(partial(self._sums_inside, batch))

    def _sums_inside(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy and correct predictions. Position i predicts label i + 1.

        Padding lies to the right, where causal attention never looks, so that no mask is needed.
        """
        device = self._hardware.device
        labels = batch.labels[:, 1:].reshape(-1)
        positions = (labels != IGNORED).nonzero().squeeze(1)
        targets = labels[positions].to(device)
        with autocast(self._hardware):
            logits = self._logits(batch.input_ids.to(device), positions.to(device))
        loss = F.cross_entropy(logits.float(), targets, reduction="sum")
        return loss, (logits.argmax(dim=-1) == targets).sum()

    def _logits(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        if self.whole_forward:
            return _selected(_whole_logits(self._model, input_ids), positions)
        return _projected(self._model, _selected(_hidden(self._model, input_ids), positions))

    @torch.no_grad()
    def _head_can_be_split(self, probe: Row) -> bool:
        """Whether decoder and head, applied apart, give the logits of the whole model."""
        config = self._model.config
        if any(getattr(config, name, None) not in (None, 1, 1.0) for name in _AFTER_THE_HEAD):
            return False
        if _decoder(self._model) is self._model:
            return False
        input_ids = torch.tensor([probe.input_ids[:_PROBED_TOKENS]], device=self._hardware.device)
        was_training = self._model.training
        self._model.eval()  # type: ignore[no-untyped-call]
        with autocast(self._hardware):
            whole, split = self._world.through(lambda: _both_ways(self._model, input_ids))
        self._model.train(was_training)
        return whole.shape == split.shape and torch.allclose(whole, split, rtol=1e-6, atol=1e-6)


def autocast(hardware: Hardware) -> AbstractContextManager[object]:
    """The arithmetic of training and scoring: bf16 where it is native, else fp32."""
    return torch.autocast(
        hardware.device, dtype=torch.bfloat16, enabled=hardware.bfloat16, cache_enabled=True
    )


def _selected(per_token: Tensor, positions: Tensor) -> Tensor:
    """Rows of a (rows, tokens, width) tensor at positions of its (rows, tokens - 1) part."""
    return per_token[:, :-1].reshape(-1, per_token.shape[-1]).index_select(0, positions)


def _both_ways(model: PreTrainedModel, input_ids: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of the whole model, and those of its head applied to what its decoder gives."""
    split = _projected(model, _hidden(model, input_ids))
    return _whole_logits(model, input_ids).float(), split.float()


def _whole_logits(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    logits = model(input_ids=input_ids, use_cache=False).logits
    assert isinstance(logits, Tensor)  # noqa: S101 - model outputs are untyped
    return logits


def _hidden(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    hidden = _decoder(model)(input_ids=input_ids, use_cache=False)[0]
    assert isinstance(hidden, Tensor)  # noqa: S101 - model outputs are untyped
    return hidden


def _decoder(model: PreTrainedModel) -> Module:
    decoder = getattr(model, model.base_model_prefix, model)
    assert isinstance(decoder, Module)  # noqa: S101 - found by name
    return decoder


def _projected(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    head: Callable[[Tensor], Tensor] = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head(hidden)
