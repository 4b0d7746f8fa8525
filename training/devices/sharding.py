"""A model split among processes: each keeps a part of every tensor, and gathers what a layer needs
only while that layer computes (FSDP2, https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html)."""

from collections.abc import Callable, Collection
from typing import TypeVar

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn import Module, Parameter

from training.devices.errors import PrecisionNotSharded
from training.devices.hardware import Hardware
from training.devices.layout import gathered_modules
from training.devices.world import Passage
from training.models.precision import precisions

T = TypeVar("T")


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
    for layer in gathered_modules(layers):
        split(layer, hardware.dtype)
    whole = _Whole(model)
    split(whole, hardware.dtype)
    for module in whole.modules():
        if isinstance(module, FSDPModule):  # a step's gradients are summed, not averaged
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return _ShardedPassage(whole)


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
