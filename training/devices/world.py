"""The processes that train one run together, and all that they have to say to one another.

Each holds the same rows in the same order and takes the same decisions from the same numbers. What
only one of them can know, it tells the others here. Alone, every word of this costs nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from os import environ
from pathlib import Path
from typing import Final, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from training.devices.errors import DevicesMissing, ProcessesDisagree
from training.devices.ranks import MASTER_ADDRESS, Place, meeting_file
from training.scores import Scores

PATIENCE: Final = timedelta(hours=2)
"""How long a process waits for another, which may be writing a large checkpoint. One that died is
found by whoever started it, much sooner."""
BUCKET_ELEMENTS: Final = 2**24
"""How many numbers of gradients travel together: 64 MiB."""

T = TypeVar("T")


class Passage(Protocol):
    """What a model's passes run in."""

    def __call__(self, compute: Callable[[], T]) -> T:
        """The result of `compute`, which runs the model."""


def directly(compute: Callable[[], T]) -> T:
    """The passage of a model that lies whole in this process."""
    return compute()


@dataclass(frozen=True)
class World:
    """One process's view of them all. Each method is called by all processes alike, or by none."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    """How many processes are on this machine."""
    through: Passage = directly
    """What every pass of the model must run in."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and tells."""
        return self.rank == 0

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds the model whole."""
        return self.through is not directly

    def any_of(self, flag: bool) -> bool:
        """Whether the flag is raised in any process."""
        if self.size == 1:
            return flag
        return any(raised for (raised,) in self._all([float(flag)]))

    def raise_unless_same(self, what: str, parts: Iterable[bytes]) -> None:
        """Raise `ProcessesDisagree` about `what` where the bytes differ between processes."""
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        rows = self._all([float(byte) for byte in digest.digest()])
        if any(row != rows[0] for row in rows):
            raise ProcessesDisagree(what)

    def from_leader(self, decide: Callable[[], T]) -> T:
        """What the leader decides; nobody else is asked."""
        if self.size == 1:
            return decide()
        told: list[T | None] = [decide() if self.leads else None]
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return told[0]  # type: ignore[return-value]  # filled by the leader's

    def total(self, scores: Scores) -> Scores:
        """The scores of all processes added up, to the last bit the same for each."""
        if self.size == 1:
            return scores
        rows = self._all([scores.loss_sum, float(scores.correct), float(scores.tokens)])
        loss_sum, correct, tokens = map(sum, zip(*rows, strict=True))
        return Scores(loss_sum, int(correct), int(tokens))

    def most(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        return int(max(theirs for (theirs,) in self._all([float(number)])))

    def add_up_gradients(self, parameters: Sequence[Parameter]) -> None:
        """Give every process the sum of all processes' gradients, added up in fp32.

        A gradient that is missing counts as zero, and stays missing if nobody has it. Those of a
        sharded model were added up by its backward passes.
        """
        if self.size == 1 or self.is_sharded:
            return
        rows = self._all([float(each.grad is not None) for each in parameters])
        gradients = []
        for parameter, *present in zip(parameters, *rows, strict=True):
            if any(present):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            _add_up(bucket)

    def add_up_integers(self, numbers: Sequence[int]) -> list[int]:
        """Each number's sum over all processes, modulo 2**64."""
        tensor = torch.tensor(numbers, dtype=torch.int64)
        if self.size > 1:
            dist.all_reduce(tensor)
        return [int(each) for each in tensor]

    def _all(self, values: Sequence[float]) -> list[list[float]]:
        """The values of each process, by rank."""
        own = torch.tensor(values, dtype=torch.float64)
        gathered = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(gathered, own)
        return [each.tolist() for each in gathered]


WORLD_OF_ONE: Final = World()


@contextmanager
def joined(place: Place, job_dir: Path) -> Iterator[World]:
    """The world of this process, once all the others have come.

    Its device becomes the current one. Raises `DevicesMissing`.
    """
    has_cuda = torch.cuda.is_available()
    if has_cuda and place.local_rank >= torch.cuda.device_count():
        raise DevicesMissing(place.local_rank + 1, torch.cuda.device_count())
    if place.size == 1:
        yield WORLD_OF_ONE
        return
    if has_cuda:
        torch.cuda.set_device(place.local_rank)
    backend = "cpu:gloo,cuda:nccl" if has_cuda else "gloo"
    if MASTER_ADDRESS in environ:
        dist.init_process_group(backend, timeout=PATIENCE)
    else:
        path = str(meeting_file(job_dir))
        store = dist.FileStore(path, place.size)  # type: ignore[attr-defined]  # documented
        dist.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.size, timeout=PATIENCE
        )
    yield World(place.rank, place.size, place.local_size)
    # After a failure nobody may be there to take leave of.
    dist.destroy_process_group()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(each.numel() for each in bucket) + tensor.numel() > BUCKET_ELEMENTS:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _add_up(bucket: Sequence[Tensor]) -> None:
    flat = torch.cat([each.reshape(-1).float() for each in bucket])
    dist.all_reduce(flat)
    start = 0
    for each in bucket:
        each.copy_(flat[start : start + each.numel()].view_as(each))
        start += each.numel()
