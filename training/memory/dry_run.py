"""What a pass over some rows holds in memory, operation by operation.

A dry run dispatches and differentiates each operation as always, on fake tensors: they have shapes,
a device and lifetimes but no memory. What lives at each moment is summed by storage, so that views
and saved tensors count once, and a backward pass gives back what it gives back. Nothing is computed
but small whole numbers, which decide shapes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import Module, Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from training.memory.ledger import Holding, Ledger, Stay
from training.models.layers import two_of_each
from training.models.likeness import mode_of

_COMPUTED_ELEMENTS: Final = 2**16
"""Whole numbers are computed in tensors up to this size: positions and lengths."""

_Operation = Callable[..., object]

_READ_NUMBER: Final = torch.ops.aten._local_scalar_dense.default
_ADD: Final = torch.ops.aten.add.Tensor
_CHOOSE_ATTENTION: Final = torch.ops.aten._fused_sdp_choice.default


def dry_run(
    model: Module,
    work: Callable[[], object],
    *,
    passes: int,
    vocabulary_size: int,
    every_layer: bool = False,
) -> Holding:
    """What the last of `passes` runs of `work` would hold when it holds most, gradients left by
    those before it included.

    `work` goes through `model`, forward and perhaps backward; through two layers of each kind, which
    tell of all. With `every_layer` it goes through all, and what passes is told when that is most,
    beside the gradients that it leaves. Weights, gradients and random states are as before
    afterwards. Raises whatever an operation does that has no fake implementation.
    """
    ledger = Ledger(vocabulary_size)
    with ExitStack() as stack:
        stack.enter_context(_unchanged(model))
        stands = () if every_layer else stack.enter_context(two_of_each(model))
        stays = [Stay(each, ledger) for each in stands]
        for stay in stays:
            stack.enter_context(stay.watched())
        with _FakeOperations(model, ledger):
            _run(work, passes, ledger)
        return ledger.fullest() if every_layer else ledger.highest(stays)


def real_run(
    model: Module, work: Callable[[], object], *, passes: int, vocabulary_size: int
) -> Holding:
    """What passes when the last of `passes` runs of `work` is done for real, when most of that is
    held, beside the gradients that it leaves. Nothing is changed by it either."""
    ledger = Ledger(vocabulary_size)
    with _unchanged(model), _RealOperations(model, ledger):
        _run(work, passes, ledger)
        return ledger.fullest()


def _run(work: Callable[[], object], passes: int, ledger: Ledger) -> None:
    for _ in range(passes):
        ledger.begin_pass()
        work()


@contextmanager
def _unchanged(model: Module) -> Iterator[None]:
    """Give back gradients and random states as they were; weights are only ever read."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    gradients = [each.grad for each in parameters]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    for parameter in parameters:
        parameter.grad = None
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


class _RealOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Does what it is asked, and keeps the ledger."""

    def __init__(self, model: Module, ledger: Ledger) -> None:
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

    def __init__(self, model: Module, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._ledger = ledger
        self._fake = mode_of(model)
        own = (*model.parameters(), *model.buffers())
        self._model = [self._as_fake(each) for each in own]  # the mode itself forgets them
        for each in self._model:
            ledger.ignore(each)
        self._tied_shapes = _tied_shapes(model)

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
        if func is _ADD and not torch.is_grad_enabled() and self._are_gradients(args):
            func = torch.ops.aten.add_.Tensor
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

    def _are_gradients(self, terms: tuple[object, ...]) -> bool:
        """Whether these are a tied parameter's gradients, which autograd adds in place unless they
        are fake (`can_accumulate_inplace` in torch/csrc/autograd/input_buffer.cpp)."""
        return all(isinstance(each, Tensor) and each.shape in self._tied_shapes for each in terms)

    def _as_fake(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self._fake.from_tensor(tensor)


def _tied_shapes(model: Module) -> set[torch.Size]:
    """The shapes of trained parameters that are used in more than one place."""
    seen: set[Parameter] = set()
    tied = set()
    for _, each in model.named_parameters(remove_duplicate=False):
        if each in seen and each.requires_grad:
            tied.add(each.shape)
        seen.add(each)
    return tied


def _note_all(ledger: Ledger, result: object) -> None:
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
