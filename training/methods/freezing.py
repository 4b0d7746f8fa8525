"""FREEZE: the last decoder layers are trained, the others stay as they are, to the bit."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

from training.errors import DecoderLayersNotFound, TooFewLayers
from training.models.base_models import load_base
from training.models.modules import decoder_layers, head_and_embeddings


def freeze_all_but(model: PreTrainedModel, *, layers: int, embeddings: bool) -> None:
    """Leave trainable only the last `layers` decoder layers, and embeddings and head if wanted.

    Where embeddings and head are tied they are one parameter, and stay tied. Raises
    `DecoderLayersNotFound` and `TooFewLayers`.
    """
    stack = decoder_layers(model)
    if not len(stack):
        raise DecoderLayersNotFound(type(model).__name__)
    if layers > len(stack):
        raise TooFewLayers(layers, len(stack))
    model.requires_grad_(False)
    for layer in list(stack)[len(stack) - layers :]:
        layer.requires_grad_(True)
    if embeddings:
        for module in head_and_embeddings(model):
            module.requires_grad_(True)


@torch.no_grad()
def restore_frozen(model: Module, source: str) -> None:
    """Give a model that is saved whole back, in fp32, what of its base it does not train: computing
    may have rounded that to bf16. Raises `ModelUnreadable`."""
    rounded = {
        name: parameter
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad and parameter.dtype is not torch.float32
    }
    if rounded and isinstance(model, PreTrainedModel):
        exact = dict(load_base(source, torch.float32).named_parameters())
        for name, parameter in rounded.items():
            parameter.data = exact[name].data


@torch.no_grad()
def laid_over_base(trained: Mapping[str, Tensor], source: str) -> PreTrainedModel:
    """The base in fp32, what was trained in place of its own: how a model is saved whole of which no
    process holds the parameters whole. Raises `ModelUnreadable`."""
    base = load_base(source, torch.float32)
    for name, parameter in base.named_parameters():
        if name in trained:
            parameter.data = trained[name]
    return base
