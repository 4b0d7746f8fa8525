"""Fewer tokens held at once: memory was refused, or a process before this one was killed for want of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from training.devices.limit import halved
from training.devices.token_budget import TokenBudget
from training.devices.world import World
from training.engine.engine import Engine
from training.errors import DiskFull
from training.events import Event


def take_up_bid(
    engine: Engine, budget: TokenBudget, *, emit: Callable[[Event], None], world: World
) -> None:
    """Hold no more tokens at once than a worker bade, tell that once, and note what is held."""
    note = world.from_leader(budget.succeed)
    limit = None if note is None else note.limit
    while limit is not None and engine.budget > limit and engine.halve_budget():
        pass
    if note is not None and note.reason is not None:
        emit(halved(note.reason, engine.budget))
    note_held(engine, budget, world)


def note_held(engine: Engine, budget: TokenBudget, world: World) -> None:
    """Note what the engine holds at once, for whoever finds this process killed."""
    if world.leads:
        budget.hold(engine.budget, is_least=_is_least(engine))


@contextmanager
def held(engine: Engine, budget: TokenBudget, world: World) -> Iterator[None]:
    """Note what the engine holds, for as long as this block takes and this process lives."""
    note_held(engine, budget, world)
    try:
        yield
    finally:
        if world.leads:
            with suppress(DiskFull):  # what the block raised tells more
                budget.let_go()


def _is_least(engine: Engine) -> bool:
    tokens = engine.budget
    can_be_halved = engine.halve_budget()
    engine.budget = tokens
    return not can_be_halved
