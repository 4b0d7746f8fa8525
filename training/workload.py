"""What lies before a prepared run, for those who estimate what it will take."""

import math
from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import Final

from training.adapters import causal_model
from training.batches import Plan
from training.device_memory import size_of
from training.estimates import OPTIMIZER_BYTES
from training.evaluation import ROWS_AT_ONCE, evaluate
from training.forecast import Rows, Workload, heaviest
from training.optimizer import trainable_parameters
from training.pace import Remaining
from training.preparation import Prepared

_SEARCHED_ROWS: Final = 2**20
"""Among so many rows of the plan the heaviest micro-batches are looked for."""


def workload(prepared: Prepared) -> Workload:
    """What the run will hold memory for."""
    run = prepared.run
    model = causal_model(prepared.model)
    tensors = run.stepper.tensors()
    trained = trainable_parameters(prepared.model).values()
    config = model.config.get_text_config()
    micro_batches = list(_micro_batches(prepared))
    return Workload(
        model=model,
        vocabulary_size=config.vocab_size,
        weights=[*model.parameters(), *model.buffers(), *tensors.weights.values()],
        optimizer=list(tensors.optimizer.values()),
        optimizer_bytes=OPTIMIZER_BYTES * sum(each.numel() for each in trained),
        micro_batches=heaviest(micro_batches),
        backward=lambda rows: _backward(prepared, rows),
        accumulates=min(run.config.gradient_accumulation_steps, len(micro_batches)) > 1,
        validation=heaviest(
            run.validation[start : start + ROWS_AT_ONCE]
            for start in range(0, len(run.validation), ROWS_AT_ONCE)
        ),
        score=lambda rows: evaluate(prepared.model, run.loss, rows),
    )


def remaining(prepared: Prepared, answering_seconds: float) -> Remaining:
    """What the run has still to do. Later epochs are taken to be ordered as the first one left."""
    run = prepared.run
    state, config = run.stepper.state, run.config
    lengths = [len(row.input_ids) for row in prepared.training]
    epoch = [
        sum(lengths[index] for micro_batch in step for index in micro_batch)
        for step in _plan(prepared).steps(state.epoch)
    ]
    epochs = config.epochs - state.epoch
    steps = chain(epoch[state.step_in_epoch :], *repeat(epoch, epochs - 1))
    tensors = run.stepper.tensors()
    trained = size_of(tensors.weights.values())
    optimizer = OPTIMIZER_BYTES * sum(each.numel() for each in tensors.weights.values())
    policy = config.checkpointing
    checkpoints = math.ceil(epochs / policy.interval) if policy.enabled else 1
    return Remaining(
        step_tokens=list(islice(steps, run.stepper.total_steps - state.step)),
        scored_tokens=(epochs + 1) * sum(len(row.input_ids) for row in run.validation),
        written_bytes=checkpoints * (trained + optimizer) + trained,
        answering_seconds=answering_seconds,
    )


def _backward(prepared: Prepared, rows: Rows) -> None:
    prepared.model.train()
    tokens = sum(row.trained_tokens for row in rows)
    prepared.run.loss.backward(rows, step_tokens=tokens)


def _micro_batches(prepared: Prepared) -> Iterator[Rows]:
    rows = prepared.training
    plan = _plan(prepared)
    searched = range(min(prepared.run.config.epochs, 1 + _SEARCHED_ROWS // len(rows)))
    for epoch in searched:
        for step in plan.steps(epoch):
            for indices in step:
                yield [rows[index] for index in indices]


def _plan(prepared: Prepared) -> Plan:
    config = prepared.run.config
    return Plan(
        rows=len(prepared.training),
        batch_size=config.batch_size,
        accumulation=config.gradient_accumulation_steps,
        shuffle=config.shuffle,
        seed=config.seed,
    )
