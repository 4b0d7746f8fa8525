"""The memory a run will need: what is held already, and a dry run of its heaviest micro-batches."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from torch import Tensor
from torch.nn import Module

from training.device_memory import available_bytes, bytes_beside, peak_bytes, size_of
from training.dry_run import dry_run, real_run
from training.estimates import CPU_GROWTH_BYTES, CPU_SLACK, EstimateMethod, MemoryEstimate
from training.hardware import Hardware
from training.ledger import Holding
from training.rendering import IGNORED, Row

Rows: TypeAlias = Sequence[Row]

_SHORT_ROWS: Final = (16, 48)
"""Tokens of the rows that are run for real where a dry run is not possible."""


_CANNOT_RUN_DRY: Final = (RuntimeError, TypeError, ValueError, AttributeError)
"""What operations raise that have no fake implementation, or look at numbers or addresses."""


@dataclass(frozen=True)
class Workload:
    """What a run will do, as far as its memory depends on it."""

    model: Module
    """The transformers model; the rows go through it."""
    vocabulary_size: int
    weights: Sequence[Tensor]
    """All that is held for the weights, copies in other precisions included."""
    optimizer: Sequence[Tensor]
    """What the optimizer holds by now: nothing, unless a checkpoint was loaded."""
    optimizer_bytes: int
    """What it will hold."""
    micro_batches: Sequence[Rows]
    """The heaviest rows that go forward and backward together."""
    backward: Callable[[Rows], object]
    accumulates: bool
    """Whether gradients are kept from one micro-batch to the next."""
    validation: Sequence[Rows]
    """The heaviest rows that are scored together."""
    score: Callable[[Rows], object]


def heaviest(batches: Iterable[Rows]) -> list[Rows]:
    """The batches with most tokens, with most that bear loss, and with the longest rows."""
    listed = list(batches)
    weights: tuple[Callable[[Rows], int], ...] = (
        lambda rows: sum(len(row.input_ids) for row in rows),
        lambda rows: sum(row.trained_tokens for row in rows),
        lambda rows: sum(len(row.input_ids) ** 2 for row in rows),
    )
    found = {id(rows): rows for weight in weights if (rows := max(listed, key=weight, default=()))}
    return list(found.values())


def memory_estimate(work: Workload, hardware: Hardware) -> MemoryEstimate:
    """The peak and its components. The dry run takes seconds for a model of billions."""
    method, most = _highest(work)
    weights = size_of(work.weights)
    slack, growth = (1.0, 0) if hardware.device == "cuda" else (CPU_SLACK, CPU_GROWTH_BYTES)
    base = growth + bytes_beside((*work.weights, *work.optimizer), hardware)
    activations, logits = round(slack * most.activations), round(slack * most.logits)
    whole = base + weights + work.optimizer_bytes + most.gradients + activations + logits
    return MemoryEstimate(
        weights=weights,
        gradients=most.gradients,
        optimizer=work.optimizer_bytes,
        activations=activations,
        logits=logits,
        base=base,
        peak=max(whole, peak_bytes(hardware)),
        available=available_bytes(hardware),
        method=method,
    )


def _highest(work: Workload) -> tuple[EstimateMethod, Holding]:
    try:
        return EstimateMethod.DRY_RUN, _highest_of_all(work, _dry)
    except _CANNOT_RUN_DRY:
        return EstimateMethod.MEASURED, _highest_of_all(work, _from_short_rows)


_Measure: TypeAlias = Callable[[Workload, Callable[[Rows], object], Rows, int], Holding]


def _highest_of_all(work: Workload, measure: _Measure) -> Holding:
    passes = 2 if work.accumulates else 1
    found = [measure(work, work.backward, rows, passes) for rows in work.micro_batches]
    found += [measure(work, work.score, rows, 1) for rows in work.validation]
    return max(found, key=lambda each: each.total, default=Holding())


def _dry(work: Workload, go: Callable[[Rows], object], rows: Rows, passes: int) -> Holding:
    return dry_run(
        work.model, lambda: go(rows), passes=passes, vocabulary_size=work.vocabulary_size
    )


def _from_short_rows(
    work: Workload, go: Callable[[Rows], object], rows: Rows, passes: int
) -> Holding:
    """A straight line through two short rows, drawn to all tokens."""

    def held(row: Row) -> Holding:
        return real_run(
            work.model, lambda: go([row]), passes=passes, vocabulary_size=work.vocabulary_size
        )

    tokens = sum(len(row.input_ids) for row in rows)
    share = sum(row.trained_tokens for row in rows) / tokens
    longest = max(rows, key=lambda row: len(row.input_ids))
    short, long = (_cut(longest, length, share) for length in _SHORT_ROWS)
    first, last = len(short.input_ids), len(long.input_ids)
    steps = (tokens - first) / max(1, last - first)
    line = zip(held(short), held(long), strict=True)
    return Holding(*(round(start + steps * (end - start)) for start, end in line))


def _cut(row: Row, length: int, share: float) -> Row:
    """The start of a row, with a share of it bearing loss."""
    ids = row.input_ids[:length]
    trained = max(1, round(share * len(ids)))
    return row._replace(input_ids=ids, labels=[IGNORED] * (len(ids) - trained) + ids[-trained:])
