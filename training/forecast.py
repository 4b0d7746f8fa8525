"""The memory a run will need: what is held already, and a dry run of its heaviest micro-batches."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from torch import Tensor
from torch.nn import Module

from training.device_memory import available_bytes, bytes_beside, peak_bytes, size_of
from training.dry_run import Holding, Peaks, peaks
from training.estimates import CPU_GROWTH_BYTES, CPU_SLACK, EstimateMethod, MemoryEstimate
from training.hardware import Hardware
from training.layers import Layers
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
    method, training, validating = _moments(work)
    moments = [
        *(moment for each in training for moment in each),
        *(each.filled for each in validating),
    ]
    highest = max(moments, key=lambda each: each.total, default=Holding())
    weights = size_of(work.weights)
    slack, growth = (1.0, 0) if hardware.device == "cuda" else (CPU_SLACK, CPU_GROWTH_BYTES)
    base = growth + bytes_beside((*work.weights, *work.optimizer), hardware)
    activations, logits = round(slack * highest.activations), round(slack * highest.logits)
    whole = base + weights + work.optimizer_bytes + highest.gradients + activations + logits
    return MemoryEstimate(
        weights=weights,
        gradients=highest.gradients,
        optimizer=work.optimizer_bytes,
        activations=activations,
        logits=logits,
        base=base,
        peak=max(whole, peak_bytes(hardware)),
        available=available_bytes(hardware),
        method=method,
    )


def _moments(work: Workload) -> tuple[EstimateMethod, list[Peaks], list[Peaks]]:
    try:
        found = _with_all(work, _dry)
    except _CANNOT_RUN_DRY:
        return EstimateMethod.MEASURED, *_with_all(work, _from_short_rows)
    return EstimateMethod.DRY_RUN, *found


_Measure: TypeAlias = Callable[[Workload, Callable[[Rows], object], Rows, int], Peaks]


def _with_all(work: Workload, measure: _Measure) -> tuple[list[Peaks], list[Peaks]]:
    passes = 2 if work.accumulates else 1
    training = [measure(work, work.backward, rows, passes) for rows in work.micro_batches]
    return training, [measure(work, work.score, rows, 1) for rows in work.validation]


def _dry(work: Workload, go: Callable[[Rows], object], rows: Rows, passes: int) -> Peaks:
    layers = Layers(work.model)
    found = []
    for sample in layers.samples():
        with layers.only(sample.indices):
            part = peaks(
                work.model, partial(go, rows), passes=passes, vocabulary_size=work.vocabulary_size
            )
        found.append((sample.weight, part))
    return _sum_of(found)


def _from_short_rows(
    work: Workload, go: Callable[[Rows], object], rows: Rows, passes: int
) -> Peaks:
    """A straight line through two short rows of the longest one, drawn to all tokens."""
    tokens = sum(len(row.input_ids) for row in rows)
    share = sum(row.trained_tokens for row in rows) / tokens
    longest = max(rows, key=lambda row: len(row.input_ids))
    short, long = (_cut(longest, length, share) for length in _SHORT_ROWS)
    steps = (tokens - len(short.input_ids)) / max(1, len(long.input_ids) - len(short.input_ids))
    return _sum_of(
        (
            weight,
            peaks(
                work.model,
                partial(go, [row]),
                passes=passes,
                vocabulary_size=work.vocabulary_size,
                dry=False,
            ),
        )
        for weight, row in ((1 - steps, short), (steps, long))
    )


def _cut(row: Row, length: int, share: float) -> Row:
    """The start of a row, with a share of it bearing loss."""
    ids = row.input_ids[:length]
    trained = max(1, round(share * len(ids)))
    return row._replace(input_ids=ids, labels=[IGNORED] * (len(ids) - trained) + ids[-trained:])


def _sum_of(weighted: Iterable[tuple[float, Peaks]]) -> Peaks:
    listed = list(weighted)

    def moment(which: int) -> Holding:
        parts = [(weight, each[which]) for weight, each in listed]
        return Holding(
            *(
                max(0, round(sum(weight * part[index] for weight, part in parts)))
                for index in range(len(Holding._fields))
            )
        )

    return Peaks(moment(0), moment(1))
