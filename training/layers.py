"""The repeated layers of a model, and a while with only some of them.

What a pass holds grows by the same amount with each further layer of the same shape, so that models
of a few layers tell of the model of all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch.nn import Module, ModuleList


class Sample(NamedTuple):
    """Some layers, and the weight of their measurement in the sum that is the whole model's."""

    indices: tuple[int, ...]
    weight: int


class Layers:
    """The list below a model that holds most of its parameters, where there is a list."""

    def __init__(self, model: Module) -> None:
        lists = [
            (parent, name, child)
            for parent in model.modules()
            for name, child in parent.named_children()
            if isinstance(child, ModuleList)
        ]
        self._place = max(lists, key=lambda each: _parameters(each[2]), default=None)

    def samples(self) -> list[Sample]:
        """One with a layer of each kind, and for each kind that repeats one with a second layer."""
        kinds = self._kinds()
        first = tuple(kind[0] for kind in kinds)
        repeated = [kind for kind in kinds if len(kind) > 1]
        more = sum(len(kind) - 1 for kind in repeated)
        return [
            Sample(first, 1 - more),
            *(Sample(tuple(sorted((*first, kind[1]))), len(kind) - 1) for kind in repeated),
        ]

    @contextmanager
    def only(self, indices: Sequence[int]) -> Iterator[None]:
        """The model with these layers alone."""
        if self._place is None:
            yield
            return
        parent, name, layers = self._place
        setattr(parent, name, ModuleList(layers[index] for index in indices))
        try:
            yield
        finally:
            setattr(parent, name, layers)

    def _kinds(self) -> list[list[int]]:
        """The layers' places, those together that are of one shape and trained alike."""
        kinds: dict[object, list[int]] = {}
        for index, layer in enumerate(self._place[2] if self._place else ()):
            kinds.setdefault(_shape(layer), []).append(index)
        return list(kinds.values())


def _parameters(module: Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _shape(layer: Module) -> tuple[object, ...]:
    return tuple(
        (name, each.shape, each.dtype, each.requires_grad)
        for name, each in layer.named_parameters()
    )
