"""FREEZE: the last decoder layers are trained, the others stay as they are."""

from transformers import PreTrainedModel

from training.errors import DecoderLayersNotFound, TooFewLayers
from training.modules import decoder_layers, head_and_embeddings


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
