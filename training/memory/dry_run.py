"""What a pass over some rows holds in memory, operation by operation.

A dry run dispatches and differentiates each operation as always, on fake tensors: they have shapes,
a device and lifetimes but no memory. What lives at each moment is summed by storage, so that views
and saved tensors count once, and a backward pass gives back what it gives back. Nothing is computed
but small whole numbers, which decide shapes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import torch
from torch.nn import Module

from training.memory.ledger import Holding, Ledger, Stay
from training.memory.operations import (
    DeviceMatters,
    FakeOperations,
    MetaOperations,
    RealOperations,
)
from training.models.layers import two_of_each


def dry_run(
    model: Module, work: Callable[[], object], *, passes: int, vocabulary_size: int
) -> Holding:
    """What the last of `passes` runs of `work` would hold when it holds most, gradients left by
    those before it included.

    `work` goes through `model`, forward and perhaps backward; through two layers of each kind, which
    tell of all. Weights, gradients and random states are as before afterwards. Raises whatever an
    operation does that has no fake implementation.
    """
    ledger = Ledger(vocabulary_size)
    with ExitStack() as stack:
        stack.enter_context(_unchanged(model))
        stays = [Stay(each, ledger) for each in stack.enter_context(two_of_each(model))]
        for stay in stays:
            stack.enter_context(stay.watched())
        with FakeOperations(model, ledger):
            _run(work, passes, ledger)
        return ledger.highest(stays)


def dry_run_as_written(
    model: Module, work: Callable[[], object], *, vocabulary_size: int
) -> Holding:
    """What passes in a run of `work` when that is most, beside the gradients that it leaves.

    `work` goes through so many layers as it says, and back by what is written out for them, with no
    need of automatic differentiation. Otherwise as `dry_run`.
    """
    if not any(each.is_cuda for each in model.parameters()):
        with suppress(DeviceMatters):
            return _as_written(MetaOperations, model, work, vocabulary_size)
    return _as_written(FakeOperations, model, work, vocabulary_size)


def _as_written(
    operations: Callable[[Module, Ledger], AbstractContextManager[object]],
    model: Module,
    work: Callable[[], object],
    vocabulary_size: int,
) -> Holding:
    ledger = Ledger(vocabulary_size)
    with _unchanged(model), operations(model, ledger):
        _run(work, 1, ledger)
        return ledger.fullest()


def real_run(
    model: Module, work: Callable[[], object], *, passes: int, vocabulary_size: int
) -> Holding:
    """What passes when the last of `passes` runs of `work` is done for real, when most of that is
    held, beside the gradients that it leaves. Nothing is changed by it either."""
    ledger = Ledger(vocabulary_size)
    with _unchanged(model), RealOperations(model, ledger):
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
