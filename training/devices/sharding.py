"""A model split among processes: each keeps a part of every tensor, and gathers what a layer needs
only while that layer computes (FSDP2, https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html)."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Module, Parameter

from training.devices.errors import PrecisionNotSharded
from training.devices.hardware import Hardware
from training.devices.world import Passage
from training.models.precision import precisions

T = TypeVar("T")


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
    inside = [list(layer.parameters()) for layer in _layers(layers)]
    held = {each for parameters in inside for each in parameters}
    outside = [each for each in model.parameters() if each not in held]
    return Layout(
        _elements(outside),
        _elements(each for each in outside if each.requires_grad),
        max(map(_elements, inside), default=0),
        max((_elements(p for p in each if p.requires_grad) for each in inside), default=0),
    )


def shard(model: Module, layers: Module, *, size: int, hardware: Hardware) -> Passage:
    """Split a model's parameters among `size` processes, in place; what its passes must run in.

    `layers` is the model, or the part of it, that knows which of its modules are layers. What is
    trained stays in fp32 and is gathered in what the hardware computes in, or in fp32 where the
    architecture does; its gradients are added up in fp32. What such an architecture computes in fp32
    and is not trained, every process has whole.

    Raises `PrecisionNotSharded`.
    """
    computed = precisions(model, hardware.dtype)
    kept: set[Parameter] = set()
    for name, parameter in model.named_parameters():
        if computed[name] is not hardware.dtype:
            kept.add(parameter)
        elif not parameter.requires_grad and parameter.dtype.is_floating_point:
            parameter.data = parameter.data.to(hardware.dtype)
    mesh = init_device_mesh(hardware.device, (size,))

    def split(module: Module, dtype: torch.dtype) -> None:
        policy = MixedPrecisionPolicy(
            param_dtype=dtype,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,  # positions stay exact
        )
        untrained = {each for each in kept if not each.requires_grad}
        fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params=untrained)

    for module in _in_fp32(model, kept):
        split(module, torch.float32)
    for layer in _layers(layers):
        split(layer, hardware.dtype)
    whole = _Whole(model)
    split(whole, hardware.dtype)
    for module in whole.modules():
        if isinstance(module, FSDPModule):  # a step's gradients are summed, not averaged
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return _ShardedPassage(whole)


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all processes, each of which must ask for it; others as they are."""
    if not isinstance(tensor, DTensor):
        return tensor
    complete: Tensor = tensor.full_tensor()
    return complete.detach()


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Tensors gathered from all processes, one after the other; nothing unless this one `keep`s
    them. Sharded ones come to lie in main memory, where there is room for all of them."""
    result = {}
    for name, tensor in tensors.items():
        complete = whole(tensor)
        if keep:
            result[name] = complete.cpu() if isinstance(tensor, DTensor) else complete
    return result


def like(target: Tensor, complete: Tensor) -> Tensor:
    """This process's part of a complete tensor, where the target is split; else the tensor."""
    if not isinstance(target, DTensor) or complete.shape != target.shape:
        return complete
    mesh = target.device_mesh
    return distribute_tensor(
        complete.to(mesh.device_type), mesh, target.placements, src_data_rank=None
    )


def own_part(tensor: Tensor) -> Tensor:
    """What lies in this process of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def trained_state(model: Module, *, keep: bool) -> dict[str, Tensor]:
    """A model's trained parameters by every name they have, gathered as by `gathered`."""
    trained = {
        name: each
        for name, each in model.named_parameters(remove_duplicate=False)
        if each.requires_grad
    }
    distinct = gathered({str(id(each)): each for each in trained.values()}, keep=keep)
    return {name: distinct[str(id(each))] for name, each in trained.items()} if keep else {}


def _in_fp32(model: Module, kept: Collection[Parameter]) -> list[Module]:
    """The outermost modules of which all is computed in fp32, and some trained.

    Raises `PrecisionNotSharded` where a trained parameter of `kept` is in none of them.
    """
    found: list[Module] = []
    inside: set[Module] = set()
    missing = {each for each in kept if each.requires_grad}
    for module in model.modules():
        parameters = set(module.parameters())
        if module in inside or not parameters & missing or not parameters <= set(kept):
            continue
        found.append(module)
        inside.update(module.modules())
        missing -= parameters
    if missing:
        names = {each: name for name, each in model.named_parameters()}
        raise PrecisionNotSharded(min(names[each] for each in missing))
    return found


def _layers(model: Module) -> list[Module]:
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def _elements(parameters: Iterable[Tensor]) -> int:
    return sum(each.numel() for each in parameters)


class _Whole(Module):
    """Holds a model, so that any part of it may be called while its outermost tensors are there."""

    def __init__(self, model: Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[], T]) -> T:
        return compute()


class _ShardedPassage:
    def __init__(self, whole: _Whole) -> None:
        self._whole = whole

    def __call__(self, compute: Callable[[], T]) -> T:
        result: T = self._whole(compute)
        if not torch.is_grad_enabled():  # no backward pass will let the outermost tensors go
            assert isinstance(self._whole, FSDPModule)  # noqa: S101 - what `fully_shard` made of it
            self._whole.reshard()
        return result
