"""What a pass over some rows holds in memory, operation by operation.

A dry run dispatches and differentiates each operation as always, on fake tensors: they have shapes,
a device and lifetimes but no memory. What lives at each moment is summed by storage, so that views
and saved tensors count once, and a backward pass gives back what it gives back. Nothing is computed
but small whole numbers, which decide shapes.
"""

import weakref
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import Module
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

_COMPUTED_ELEMENTS: Final = 2**16
"""Whole numbers are computed in tensors up to this size: positions and lengths."""

_Operation = Callable[..., object]

_READ_NUMBER: Final = torch.ops.aten._local_scalar_dense.default
_CHOOSE_ATTENTION: Final = torch.ops.aten._fused_sdp_choice.default

_BEFORE: Final = -1
"""The place in the ledger of what has none, for it was there before."""


class Holding(NamedTuple):
    """Bytes alive at one moment, beside the model's own tensors."""

    gradients: int = 0
    """In what outlives the pass."""
    logits: int = 0
    """In what is as wide as the vocabulary."""
    activations: int = 0
    """In everything else."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.gradients + self.logits + self.activations


class Peaks(NamedTuple):
    """The two moments of a pass at which it may hold most."""

    filled: Holding
    """When the activations of all layers are there, around the end of the forward pass."""
    drained: Holding
    """When the gradients of all layers are there, towards the end of the backward pass."""


def peaks(
    model: Module,
    work: Callable[[], object],
    *,
    passes: int,
    vocabulary_size: int,
    dry: bool = True,
) -> Peaks:
    """What the last of `passes` runs of `work` holds, gradients left by those before it included.

    `work` goes through `model`, forward and perhaps backward, as if with real tensors, or with them
    where not `dry`. Weights, gradients and random states are as before afterwards. A dry run raises
    whatever an operation does that has no fake implementation.
    """
    parameters = [each for each in model.parameters() if each.requires_grad]
    gradients = [each.grad for each in parameters]
    random_state = torch.get_rng_state()
    ledger = _Ledger(vocabulary_size)
    try:
        with _FakeOperations(model, ledger) if dry else _RealOperations(model, ledger):
            for _ in range(passes):
                ledger.begin_pass()
                work()
        return ledger.peaks()
    finally:
        torch.set_rng_state(random_state)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


class _Entry(NamedTuple):
    key: int
    size_bytes: int
    """Negative where the storage was freed."""
    is_logits: bool


class _Ledger:
    """Births and deaths of storages, in order."""

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._entries: list[_Entry] = []
        self._alive: dict[int, int] = {}
        self._pass_began = 0

    def begin_pass(self) -> None:
        """Peaks are looked for from here on."""
        self._pass_began = len(self._entries)

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
        self._alive[key] = len(self._entries)
        self._entries.append(entry)
        weakref.finalize(storage, self._free, entry).atexit = False

    def _free(self, entry: _Entry) -> None:
        self._alive.pop(entry.key, None)
        self._entries.append(entry._replace(size_bytes=-entry.size_bytes))

    def peaks(self) -> Peaks:
        """The moments of the last pass."""
        kept = set(self._alive.values())
        moments = self._moments(kept)
        gradients = moments[-1].gradients if moments else 0
        filled = max(moments, key=lambda each: each.total - each.gradients, default=Holding())
        late = [each for each in moments if each.gradients > 0.9 * gradients]
        return Peaks(filled, max(late, key=lambda each: each.total, default=Holding()))

    def _moments(self, kept: set[int]) -> list[Holding]:
        gradients = logits = activations = 0
        moments = []
        born: dict[int, int] = {}
        for index, entry in enumerate(self._entries):
            if entry.size_bytes > 0:
                born[entry.key] = index
            if born.get(entry.key) in kept:
                gradients += entry.size_bytes
            elif entry.is_logits:
                logits += entry.size_bytes
            else:
                activations += entry.size_bytes
            if index >= self._pass_began:
                moments.append(Holding(gradients, logits, activations))
        return moments


class _RealOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Does what it is asked, and keeps the ledger."""

    def __init__(self, model: Module, ledger: _Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._ledger = ledger
        for each in (*model.parameters(), *model.buffers()):
            ledger.ignore(each)

    def __torch_dispatch__(
        self,
        func: _Operation,
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        _note_all(self._ledger, result)
        return result


class _FakeOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as above
    """Yields fake tensors wherever a number with a fraction or a large tensor is involved."""

    def __init__(self, model: Module, ledger: _Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._ledger = ledger
        self._fake = FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True)
        own = (*model.parameters(), *model.buffers())
        self._model = [self._as_fake(each) for each in own]  # the mode itself forgets them
        for each in self._model:
            ledger.ignore(each)

    def __torch_dispatch__(
        self,
        func: _Operation,
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func is _READ_NUMBER and isinstance(args[0], FakeTensor):
            return torch.zeros((), dtype=args[0].dtype).item()
        if func is _CHOOSE_ATTENTION:
            return func(*tree_map_only(Tensor, _untouched, args), **kwargs)
        given = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        if given and all(map(_is_computed, given)):
            result = func(*args, **kwargs)
        else:
            with self._fake:
                result = func(*tree_map_only(Tensor, self._as_fake, args), **kwargs)
            if not given and isinstance(result, Tensor) and _is_small(result):
                result = func(*args, **kwargs)
        _note_all(self._ledger, result)
        return result

    def _as_fake(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self._fake.from_tensor(tensor)


def _note_all(ledger: _Ledger, result: object) -> None:
    for each in tree_iter(result):
        if isinstance(each, Tensor):
            ledger.note(each)


def _is_computed(tensor: Tensor) -> bool:
    return not isinstance(tensor, FakeTensor) and _is_small(tensor)


def _is_small(tensor: Tensor) -> bool:
    whole = not (tensor.is_floating_point() or tensor.is_complex())
    return whole and tensor.numel() <= _COMPUTED_ELEMENTS


def _untouched(tensor: Tensor) -> Tensor:
    """A real tensor of the same form, for a choice that looks at forms alone. Memory that is never
    written to costs a CPU nothing."""
    return torch.empty_strided(
        tensor.shape,
        tensor.stride(),
        dtype=tensor.dtype,
        device=tensor.device,
        requires_grad=tensor.requires_grad,
    )
