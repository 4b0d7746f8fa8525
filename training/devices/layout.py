"""What of a model's parameters is gathered together once the model is split among processes."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor
from torch.nn import Module


class Layout(NamedTuple):
    """Numbers of a model's parameters that are gathered together."""

    outermost: int
    """Of those outside of all layers, which stay for as long as a pass takes."""
    trained_outermost: int
    layer: int
    """Of the largest layer."""
    trained_layer: int


def layout(model: Module, layers: Module) -> Layout:
    """How a model will be gathered once it is split."""
    inside = [list(layer.parameters()) for layer in gathered_modules(layers)]
    held = {each for parameters in inside for each in parameters}
    outside = [each for each in model.parameters() if each not in held]
    return Layout(
        _elements(outside),
        _elements(each for each in outside if each.requires_grad),
        max(map(_elements, inside), default=0),
        max((_elements(p for p in each if p.requires_grad) for each in inside), default=0),
    )


def gathered_modules(model: Module) -> list[Module]:
    """The layers, each of which is gathered by itself."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def _elements(parameters: Iterable[Tensor]) -> int:
    return sum(each.numel() for each in parameters)
