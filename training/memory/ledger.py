"""What lives at each moment of a pass through a model, and at the moment when most does.

A pass may go through one layer where the model has several of its kind. Those others are added
where they would be: what a layer leaves for its backward pass, from its forward pass until then,
and its gradients from then on.
"""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch.nn import Module
from torch.utils._pytree import tree_iter

from training.models.layers import Stand


class Holding(NamedTuple):
    """Bytes alive at one moment, beside the model's own tensors."""

    gradients: int = 0
    """In what outlives the pass."""
    logits: int = 0
    """In what is as wide as the vocabulary."""
    activations: int = 0
    """In everything else."""

    @property
    def passing(self) -> int:
        """What is gone after the pass."""
        return self.logits + self.activations

    @property
    def total(self) -> int:
        """All of it."""
        return self.gradients + self.passing

    def and_growth(self, other: "Holding", *, times: int) -> "Holding":
        """This, and so many times what the other has more."""
        pairs = zip(self, other, strict=True)
        return Holding(*(one + times * (two - one) for one, two in pairs))

    def times(self, count: int) -> "Holding":
        """As many of the like at the same time."""
        return Holding(*(count * each for each in self))


class _Entry(NamedTuple):
    key: int
    size_bytes: int
    """Negative where the storage was freed."""
    is_logits: bool


_BEFORE = -1
"""The place in the ledger of what has none, for it was there before."""


class Ledger:
    """Births and deaths of storages, in order."""

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._entries: list[_Entry] = []
        self._alive: dict[int, int] = {}
        self._pass_began = 0

    def begin_pass(self) -> None:
        """Moments before this one are not looked at."""
        self._pass_began = self.place()

    def place(self) -> int:
        """Where the next entry will stand."""
        return len(self._entries)

    def ignore(self, tensor: Tensor) -> None:
        """Leave a tensor's storage out: it was there before."""
        self._alive[tensor.untyped_storage()._cdata] = _BEFORE

    def note(self, tensor: Tensor) -> None:
        """Write down a tensor's storage, unless it is known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        entry = _Entry(key, storage.nbytes(), tensor.shape[-1:] == (self._vocabulary_size,))
        self._alive[key] = self.place()
        self._entries.append(entry)
        weakref.finalize(storage, self._free, entry).atexit = False

    def highest(self, stays: Sequence["Stay"]) -> Holding:
        """The last pass when it holds most, layers that others stood for included."""
        moments = list(self._moments())
        added = [stay.added_to(moments) for stay in stays]
        whole = (
            Holding(
                moments[place].gradients + sum(each[place].gradients for each in added),
                moments[place].logits,
                moments[place].activations + sum(each[place].activations for each in added),
            )
            for place in range(self._pass_began, len(moments))
        )
        return max(whole, key=lambda each: each.total, default=Holding())

    def fullest(self) -> Holding:
        """The last pass when most is held that passes, beside the gradients that it leaves."""
        moments = list(self._moments())[self._pass_began :]
        if not moments:
            return Holding()
        most = max(moments, key=lambda each: each.passing)
        return most._replace(gradients=moments[-1].gradients)

    def _free(self, entry: _Entry) -> None:
        self._alive.pop(entry.key, None)
        self._entries.append(entry._replace(size_bytes=-entry.size_bytes))

    def _moments(self) -> Iterator[Holding]:
        """What was held after each entry. What is still alive is a gradient."""
        kept = set(self._alive.values())
        born: dict[int, int] = {}
        gradients = logits = activations = 0
        for place, entry in enumerate(self._entries):
            if entry.size_bytes > 0:
                born[entry.key] = place
            if born.get(entry.key) in kept:
                gradients += entry.size_bytes
            elif entry.is_logits:
                logits += entry.size_bytes
            else:
                activations += entry.size_bytes
            yield Holding(gradients, logits, activations)


@dataclass
class _Visit:
    """The places in the ledger between which a pass was in a layer; null where it never came."""

    forward_began: int
    forward_ended: int | None = None
    backward_began: int | None = None
    backward_ended: int | None = None


class Stay:
    """When passes were in a layer that stands for others."""

    def __init__(self, stand: Stand, ledger: Ledger) -> None:
        self._stand = stand
        self._ledger = ledger
        self._visits: list[_Visit] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Write down the visits of this block."""
        layer = self._stand.layer
        handles = (
            layer.register_forward_pre_hook(self._begin, with_kwargs=True),
            layer.register_forward_hook(self._end),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def added_to(self, moments: Sequence[Holding]) -> list[Holding]:
        """What the layers that this one stands for hold at each of these moments."""
        added = [Holding()] * len(moments)
        gradients = 0
        for visit in self._visits:
            after = len(moments)
            left = self._stand.missing * _left_behind(visit, moments)
            grown = self._stand.missing * _gradients(visit, moments)
            began = after if visit.backward_began is None else visit.backward_began
            ended = after if visit.backward_ended is None else visit.backward_ended
            for place in range(visit.forward_began, began):
                added[place] = Holding(gradients=gradients, activations=left)
            for place in range(began, ended):  # most of them before, or most of them after it
                added[place] = Holding(gradients + max(0, grown - left), activations=left)
            gradients += grown
            for place in range(ended, after):
                added[place] = Holding(gradients=gradients)
        return added

    def _begin(self, _layer: Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        visit = _Visit(self._ledger.place())
        self._visits.append(visit)

        def end_backward(_gradient: Tensor) -> None:
            visit.backward_ended = self._ledger.place()

        for each in _differentiable((args, kwargs)):
            each.register_hook(end_backward)  # type: ignore[no-untyped-call]  # torch's is

    def _end(self, _layer: Module, _args: tuple[object, ...], output: object) -> None:
        visit = self._visits[-1]
        visit.forward_ended = self._ledger.place()

        def begin_backward(_gradient: Tensor) -> None:
            visit.backward_began = self._ledger.place()

        for each in _differentiable(output):
            each.register_hook(begin_backward)  # type: ignore[no-untyped-call]  # as above


def _differentiable(values: object) -> Iterable[Tensor]:
    return (each for each in tree_iter(values) if isinstance(each, Tensor) and each.requires_grad)


def _left_behind(visit: _Visit, moments: Sequence[Holding]) -> int:
    """What the forward pass left for the backward pass."""
    if visit.backward_began is None or visit.forward_ended is None:
        return 0
    before, after = (_at(moments, place) for place in (visit.forward_began, visit.forward_ended))
    return max(0, after.passing - before.passing)


def _gradients(visit: _Visit, moments: Sequence[Holding]) -> int:
    if visit.backward_began is None:
        return 0
    ended = len(moments) if visit.backward_ended is None else visit.backward_ended
    before, after = (_at(moments, place) for place in (visit.backward_began, ended))
    return after.gradients - before.gradients


def _at(moments: Sequence[Holding], place: int) -> Holding:
    """What was held when the entry at a place was yet to be written."""
    return moments[place - 1] if place else Holding()
