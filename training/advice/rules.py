"""All rules that advise, in the order in which what they say is shown among findings of one severity."""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from training.advice import adapters, amount, holding_out, machines, rates, rows
from training.advice.case import Case
from training.findings import Finding
from training.limits import beyond_usual
from training.methods.checks import method_advice

Rule: TypeAlias = Callable[[Case], Iterator[Finding]]


def _usual_ranges(case: Case) -> Iterator[Finding]:
    return beyond_usual(case.config, training_rows=case.rows, narrowest=case.narrowest)


def _methods(case: Case) -> Iterator[Finding]:
    return method_advice(
        case.config,
        parameters=case.facts.parameter_count,
        linear_parameters=case.facts.linear_parameters,
    )


RULES: Final[tuple[Rule, ...]] = (
    rates.learning_rate,
    _usual_ranges,
    amount.batch_larger_than_data,
    amount.first_epoch_not_finished,
    amount.max_steps_not_reached,
    amount.few_steps,
    amount.many_epochs,
    amount.few_trained_tokens,
    rates.long_warmup,
    rates.strong_decay,
    holding_out.early_stopping_too_late,
    holding_out.checkpoints_too_seldom,
    holding_out.nothing_held_out,
    holding_out.little_held_out,
    adapters.wide_adapter,
    adapters.every_layer_trained,
    adapters.slower_way,
    rows.long_rows,
    rows.needless_length,
    rows.duplicate_records,
    _methods,
    machines.needless_quantisation,
    machines.needless_paging,
    machines.needless_sharding,
)
