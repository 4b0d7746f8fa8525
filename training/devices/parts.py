"""Tensors that may lie in parts in several processes, and in one as they are.

What tells of a part is not asked by its class, torch's `DTensor`, which to import takes half a second
that a run in one process need not spend.
"""

from collections.abc import Mapping
from typing import Protocol, TypeGuard

from torch import Tensor
from torch.nn import Module


class _Split(Protocol):
    """A tensor of which a part lies in this process."""

    def full_tensor(self) -> Tensor:
        """All of it."""

    def to_local(self) -> Tensor:
        """That part."""


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all processes, each of which must ask for it; others as they are."""
    return tensor.full_tensor().detach() if _is_split(tensor) else tensor


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Tensors gathered from all processes, one after the other; nothing unless this one `keep`s
    them. Sharded ones come to lie in main memory, where there is room for all of them."""
    result = {}
    for name, tensor in tensors.items():
        complete = whole(tensor)
        if keep:
            result[name] = complete.cpu() if _is_split(tensor) else complete
    return result


def like(target: Tensor, complete: Tensor) -> Tensor:
    """This process's part of a complete tensor, where the target is split; else the tensor."""
    if complete.shape != target.shape or not _is_split(target):
        return complete
    from torch.distributed.tensor import DTensor, distribute_tensor  # as said above

    assert isinstance(target, DTensor)  # noqa: S101 - the only tensor that is split
    mesh = target.device_mesh
    return distribute_tensor(
        complete.to(mesh.device_type), mesh, target.placements, src_data_rank=None
    )


def own_part(tensor: Tensor) -> Tensor:
    """What lies in this process of a tensor."""
    return tensor.to_local() if _is_split(tensor) else tensor


def trained_state(model: Module, *, keep: bool) -> dict[str, Tensor]:
    """A model's trained parameters by every name they have, gathered as by `gathered`."""
    trained = {
        name: each
        for name, each in model.named_parameters(remove_duplicate=False)
        if each.requires_grad
    }
    distinct = gathered({str(id(each)): each for each in trained.values()}, keep=keep)
    return {name: distinct[str(id(each))] for name, each in trained.items()} if keep else {}


def _is_split(tensor: Tensor) -> TypeGuard[_Split]:
    return hasattr(tensor, "full_tensor")
