"""The repeated layers of a model, and a while with only two of each kind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch.nn import Module, ModuleList


class Stand(NamedTuple):
    """A layer that stands for others of its shape, trained alike."""

    layer: Module
    missing: int
    """How many it stands for, those that are there left aside."""


@contextmanager
def two_of_each(model: Module) -> Iterator[Sequence[Stand]]:
    """The model with two layers of each kind in the list that holds most of its parameters, of
    which the second stands for the rest: the first may be spared what follows no trained layer.

    A model without such a list stays as it is, and nothing stands for anything.
    """
    lists = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, ModuleList)
    ]
    if not lists:
        yield ()
        return
    parent, name, layers = max(lists, key=lambda each: _parameters(each[2]))
    kinds: dict[object, list[int]] = {}
    for place, layer in enumerate(layers):
        kinds.setdefault(_shape(layer), []).append(place)
    kept = sorted(place for places in kinds.values() for place in places[:2])
    setattr(parent, name, ModuleList(layers[place] for place in kept))
    try:
        yield [
            Stand(layers[places[1]], len(places) - 2)
            for places in kinds.values()
            if len(places) > 2
        ]
    finally:
        setattr(parent, name, layers)


def _parameters(module: Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _shape(layer: Module) -> tuple[object, ...]:
    return tuple(
        (name, each.shape, each.dtype, each.requires_grad)
        for name, each in layer.named_parameters()
    )
