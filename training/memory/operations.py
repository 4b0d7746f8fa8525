"""What takes the place of torch's operations while a pass is watched, and keeps the ledger."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import Module, Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from training.memory.ledger import Ledger
from training.models.likeness import mode_of

_COMPUTED_ELEMENTS: Final = 2**16
"""Whole numbers are computed in tensors up to this size: positions and lengths."""

_Operation = Callable[..., object]

_META: Final = torch.device("meta")

_READ_NUMBER: Final = torch.ops.aten._local_scalar_dense.default
_MOVE: Final = torch.ops.aten._to_copy.default
_ADD: Final = torch.ops.aten.add.Tensor
_CHOOSE_ATTENTION: Final = torch.ops.aten._fused_sdp_choice.default


class RealOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
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


class DeviceMatters(RuntimeError):
    """A pass differentiates automatically: a gradient must lie where its tensor does, and the kernels
    that are differentiated so are others on each kind of device."""


class MetaOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as above
    """Yields tensors on torch's meta device wherever a number with a fraction or a large tensor is
    involved: in a fifth of the time of fake ones, but for a model on a CPU alone.

    Raises `DeviceMatters`.
    """

    def __init__(self, model: Module, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._ledger = ledger
        self._model: dict[int, Tensor] = {}
        for each in (*model.parameters(), *model.buffers()):
            storage = each.untyped_storage()
            alike = torch.empty(storage.nbytes(), dtype=torch.uint8, device=_META)
            ledger.ignore(self._model.setdefault(storage._cdata, alike))

    def __torch_dispatch__(
        self,
        func: _Operation,
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        given = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        if torch.is_grad_enabled() and any(each.requires_grad for each in given):
            raise DeviceMatters
        if func is _READ_NUMBER and given[0].is_meta:
            return torch.zeros((), dtype=given[0].dtype).item()
        if func is _MOVE and kwargs.get("dtype") in (None, given[0].dtype):
            return given[0]  # all lies on one device
        if given and all(_is_small(each) and not each.is_meta for each in given):
            result = func(*args, **kwargs)
        else:
            alike, named = tree_map_only(Tensor, self._as_meta, (args, kwargs))
            device = {} if given and kwargs.get("device") is None else {"device": _META}
            result = func(*alike, **named | device)
            if not given and isinstance(result, Tensor) and _is_small(result):
                result = func(*args, **kwargs)
        _note_all(self._ledger, result)
        return result

    def _as_meta(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return tensor
        form = tensor.shape, tensor.stride()
        own = self._model.get(tensor.untyped_storage()._cdata)
        if own is None:
            return torch.empty_strided(*form, dtype=tensor.dtype, device=_META)
        alike = torch.empty(0, dtype=tensor.dtype, device=_META)
        return alike.set_(own.untyped_storage(), tensor.storage_offset(), *form)


class FakeOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as above
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
