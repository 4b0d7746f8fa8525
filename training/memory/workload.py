"""What lies before a prepared run, for those who estimate what it will take."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from typing import Final

import numpy as np
from torch import Tensor

from training.data.rows import TokenRow
from training.data.selection import lengths_of
from training.devices.layout import Layout
from training.devices.memory import size_of
from training.devices.parts import own_part
from training.engine.decoder import Decoder
from training.engine.engine import Engine
from training.engine.gradients import Gradients
from training.engine.sharded import ShardedDecoder
from training.estimates import optimizer_bytes
from training.memory.forecast import Workload
from training.memory.splitting import Split, split_of
from training.methods.adapters import causal_model
from training.preparation import Prepared
from training.progress.pace import Remaining
from training.steps.batches import Plan
from training.steps.turns import deal, dealt

_SEARCHED_ROWS: Final = 2**16
"""Among so many rows of the plan the heaviest micro-batches are looked for."""


def workload(prepared: Prepared) -> Workload:
    """What the run will hold memory for, in this process."""
    run = prepared.run
    engine = run.stepper.engine
    computes = engine.choice.computes
    model = causal_model(prepared.model)
    masters, optimizer = run.stepper.own_tensors()
    steps = [_own(step, prepared) for step in _steps(prepared)]
    sharded = computes if isinstance(computes, ShardedDecoder) else None
    rounds = [each for step in steps for each in engine.divided(step)]
    return Workload(
        model=sharded.likeness.model if sharded else model,
        layers=computes.layers_kept if isinstance(computes, Decoder) else None,
        vocabulary_size=model.config.get_text_config().vocab_size,
        weights=[*map(own_part, model.parameters()), *model.buffers(), *masters],
        optimizer=optimizer,
        optimizer_bytes=optimizer_bytes(run.config.optimizer, _sizes(masters)),
        rounds=rounds,
        sizes=engine.sizes,
        recorded=engine.recorded_bytes(chain.from_iterable(rounds)),
        gradients=engine.lanes * size_of(masters),
        begin=partial(_begin, engine),
        split=_split(sharded.layout, prepared) if sharded else None,
    )


def _split(layout: Layout, prepared: Prepared) -> Split:
    run = prepared.run
    return split_of(
        layout,
        run.stepper.engine.weights.masters,
        optimizer=run.config.optimizer,
        hardware=prepared.hardware,
        world=run.world,
    )


def remaining(prepared: Prepared, answering_seconds: float) -> Remaining:
    """What the run has still to do. Later epochs are taken to be ordered as the first one left."""
    run = prepared.run
    state, config = run.stepper.state, run.config
    size = run.world.size
    lengths = lengths_of(prepared.training)
    plan = _plan(prepared).steps(state.epoch)
    epoch = [_slowest(lengths[step].tolist(), size) for step in plan]
    epochs = math.ceil(run.stepper.total_steps / len(epoch)) - state.epoch  # with maxSteps, fewer
    steps = chain(epoch[state.step_in_epoch :], *repeat(epoch, epochs - 1))
    masters = run.stepper.engine.weights.masters.values()
    trained = sum(each.nbytes for each in masters)
    policy = config.checkpointing
    checkpoints = math.ceil(epochs / policy.interval) if policy.enabled else 1
    saved = trained + optimizer_bytes(config.optimizer, _sizes(masters))
    return Remaining(
        step_tokens=list(islice(steps, run.stepper.total_steps - state.step)),
        scored_tokens=(epochs + 1) * _slowest(lengths_of(run.validation).tolist(), size),
        written_bytes=checkpoints * saved + trained,
        answering_seconds=answering_seconds,
    )


def _begin(engine: Engine, layers: int | None) -> Callable[[Sequence[TokenRow]], object]:
    """A way for micro-batches through some or all layers, with gradients of its own."""
    computes, gradients = engine.choice.computes, Gradients()
    if isinstance(computes, ShardedDecoder):
        return partial(_rehearse, computes, engine, gradients)
    if isinstance(computes, Decoder) and layers is not None:
        computes = computes.shortened(layers)
    return lambda rows: computes.backward(
        engine.laid_out(rows), share=1.0, seed=0, gradients=gradients
    )


def _rehearse(
    computes: ShardedDecoder, engine: Engine, gradients: Gradients, rows: Sequence[TokenRow]
) -> None:
    computes.rehearse(engine.packed(rows), gradients)


def _own(rows: Sequence[TokenRow], prepared: Prepared) -> Sequence[TokenRow]:
    """Those that this process computes."""
    world = prepared.run.world
    return deal(rows, world.size)[world.rank] if world.size > 1 else rows


def _steps(prepared: Prepared) -> Iterator[list[TokenRow]]:
    """The steps of the run, of a long one those of the first epochs, or the heaviest of the first."""
    rows = len(prepared.training)
    if rows > _SEARCHED_ROWS:
        yield from _heaviest(prepared)
        return
    for epoch in range(min(prepared.run.config.epochs, 1 + _SEARCHED_ROWS // rows)):
        yield from _epoch(prepared, epoch)


def _heaviest(prepared: Prepared) -> Iterator[list[TokenRow]]:
    """The first epoch's steps that have most by what micro-batches are searched for, too."""
    rows, steps = prepared.training, _plan(prepared).steps(0)
    size = len(steps[0])
    order = np.fromiter(chain.from_iterable(steps), dtype=np.int64, count=len(rows))
    begins = np.arange(0, len(rows), size)
    most = 1 + _SEARCHED_ROWS // (3 * size)
    tokens, trained_tokens = rows.tokens[order], rows.trained_tokens[order]
    places = {
        int(place)
        for figures in (tokens, trained_tokens, tokens**2)
        for place in np.argsort(np.add.reduceat(figures, begins))[-most:]
    }
    for place in sorted(places):
        yield [rows[index] for index in steps[place]]


def _epoch(prepared: Prepared, epoch: int) -> Iterator[list[TokenRow]]:
    for step in _plan(prepared).steps(epoch):
        yield [prepared.training[index] for index in step]


def _plan(prepared: Prepared) -> Plan:
    config = prepared.run.config
    return Plan(
        rows=len(prepared.training),
        rows_per_step=config.batch_size * config.gradient_accumulation_steps,
        shuffle=config.shuffle,
        seed=config.seed,
    )


def _sizes(tensors: Iterable[Tensor]) -> Iterator[int]:
    return (each.numel() for each in tensors)


def _slowest(lengths: Sequence[int], size: int) -> int:
    """Tokens of the process that has most of the rows of these lengths, for which the others wait; of
    those that have none, none could tell the pace."""
    return max(sum(lengths[place] for place in share) for share in dealt(lengths, size))
