"""The memory that training fills: the accelerator's where there is one, else this process's."""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

from training.devices import process
from training.devices.hardware import Hardware

_WEIGHT_FILES: Final = ".safetensors"
"""Weights of the stored element type are not copied: pages of the file stand for them."""


def peak_bytes(hardware: Hardware) -> int:
    """The most that was held since the process began."""
    if hardware.device == "cuda":
        return torch.cuda.max_memory_allocated()
    return process.peak_resident_bytes()


def available_bytes(hardware: Hardware) -> int:
    """The most the process could hold, what it holds now included, and its like as much."""
    if hardware.device == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    return process.available_bytes(hardware.sharers)


def bytes_beside(tensors: Iterable[Tensor], hardware: Hardware) -> int:
    """What is held now for anything but these tensors."""
    storages = {each.untyped_storage()._cdata: each.untyped_storage() for each in tensors}
    if hardware.device == "cuda":
        ours = sum(each.nbytes() for each in storages.values() if each.device.type == "cuda")
        return max(0, torch.cuda.memory_allocated() - ours)
    process.give_back_freed_memory()  # training takes it again, and so it is not beside it
    return max(0, process.resident_bytes() - _held_bytes(storages.values()))


def held_bytes(tensors: Iterable[Tensor], hardware: Hardware) -> int:
    """What is held now for these tensors, those that share memory once: of weights that are mapped
    from their file, the pages that lie in memory."""
    storages = {each.untyped_storage()._cdata: each.untyped_storage() for each in tensors}
    if hardware.device == "cuda":
        return sum(each.nbytes() for each in storages.values())
    return _held_bytes(storages.values())


def page_out(weights: Iterable[Tensor]) -> None:
    """Let the pages of weights go that are mapped from their file and will not be read again."""
    mappings = process.mappings_of(_WEIGHT_FILES)
    for weight in weights:
        address = weight.data_ptr()
        if any(each.start <= address < each.end for each in mappings):
            process.page_out(address, weight.nbytes)


def _held_bytes(storages: Iterable[torch.UntypedStorage]) -> int:
    mappings = process.mappings_of(_WEIGHT_FILES)
    mapped, copied = set(), 0
    for storage in storages:
        address = storage.data_ptr()
        found = [each for each in mappings if each.start <= address < each.end]
        mapped.update(found)
        copied += 0 if found else storage.nbytes()
    return copied + sum(each.resident_bytes for each in mapped)


def size_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors, of those that share memory once."""
    storages = {each.untyped_storage()._cdata: each.untyped_storage() for each in tensors}
    return sum(each.nbytes() for each in storages.values())
