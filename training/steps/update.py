"""The end of a step: gradients are gathered, and weights moved by them.

There are two ways: torch's operations, for all optimizers and devices, and kernels of our own for AdamW in
one process on a CPU. What an optimizer remembers is the same, so that a run may go on by either.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Protocol

import torch
from torch.nn import Parameter

from training.devices.parts import whole
from training.devices.world import World
from training.engine.engine import Engine
from training.engine.native import adamw
from training.engine.native.adamw import Settings, Table, Weight
from training.methods.optimizer import memory_of


class Update(Protocol):
    """What is done once all of a step's gradients are there."""

    def gather(self) -> float:
        """Add up the gradients of all lanes and processes: their norm, before clipping."""

    def move(self, rate: float) -> None:
        """Move the weights by them, clipped, at a learning rate, and let the model compute with what they
        become."""


def update_for(
    engine: Engine, optimizer: torch.optim.Optimizer, *, max_norm: float, world: World
) -> Update:
    """The fastest way there is for the weights of an engine and their optimizer."""
    weights = engine.weights
    if (
        world.size == 1
        and isinstance(optimizer, torch.optim.AdamW)
        and adamw.serves(weights.masters.values(), weights.parameters)
    ):
        return _InTwoPasses(engine, optimizer, max_norm)
    return _ByOperations(engine, optimizer, max_norm=max_norm, world=world)


class _ByOperations:
    """By torch's operations."""

    def __init__(
        self,
        engine: Engine,
        optimizer: torch.optim.Optimizer,
        *,
        max_norm: float,
        world: World,
    ) -> None:
        self._engine = engine
        self._optimizer = optimizer
        self._max_norm = max_norm
        self._world = world

    def gather(self) -> float:
        self._engine.collect()
        masters = list(self._engine.weights.masters.values())
        self._world.add_up_gradients(masters)
        return float(whole(torch.nn.utils.clip_grad_norm_(masters, self._max_norm)))

    def move(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._engine.weights.publish()


class _InTwoPasses:
    """By kernels of our own, which do with an optimizer of torch's what it would do itself."""

    def __init__(self, engine: Engine, optimizer: torch.optim.AdamW, max_norm: float) -> None:
        self._engine = engine
        self._optimizer = optimizer
        self._max_norm = max_norm
        self._norm = 0.0
        self._made_of: object = None
        self._state: object = None
        self._table = Table([])

    def gather(self) -> float:
        touched = [each.take_all() for each in self._engine.gradients]
        made_of = (touched, self._addresses())
        state = self._optimizer.state  # another one once it was restored
        if made_of != self._made_of or state is not self._state:
            self._made_of, self._state = made_of, state
            self._table = Table(list(self._weights(touched)))
        self._norm = self._table.add_up()
        return self._norm

    def move(self, rate: float) -> None:
        defaults = self._optimizer.defaults
        self._table.move(
            Settings(rate, *defaults["betas"], defaults["eps"]),
            clip=min(1.0, self._max_norm / (self._norm + 1e-6)),  # as torch clips
        )

    def _addresses(self) -> list[int]:
        weights = self._engine.weights
        return [each.data_ptr() for each in (*weights.masters.values(), *weights.parameters)]

    def _weights(self, touched: Sequence[Set[Parameter]]) -> Iterator[Weight]:
        """Those that have a gradient in some lane, in the optimizer's order."""
        weights = self._engine.weights
        computed = dict(zip(weights.masters.values(), weights.parameters, strict=True))
        lanes = list(zip(self._engine.gradients, touched, strict=True))
        for group in self._optimizer.param_groups:
            for master in group["params"]:
                parameter = computed[master]
                parts = [each.sum_of(parameter) for each, has in lanes if parameter in has]
                if parts:
                    memory = memory_of(self._optimizer, master)
                    yield Weight(
                        master,
                        memory["exp_avg"],
                        memory["exp_avg_sq"],
                        step=memory["step"],
                        computed=parameter,
                        gradients=parts,
                        decay=group["weight_decay"],
                    )
