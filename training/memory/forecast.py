"""The memory a run will need: what is held already, and a dry run of its heaviest micro-batches."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from torch import Tensor
from torch.nn import Module

from training.data.rows import IGNORED, Row, TokenRow
from training.devices.hardware import Hardware
from training.devices.memory import available_bytes, bytes_beside, held_bytes, peak_bytes
from training.estimates import CPU_GROWTH_BYTES, CPU_SLACK, EstimateMethod, MemoryEstimate
from training.memory.dry_run import dry_run, dry_run_as_written, real_run
from training.memory.ledger import Holding
from training.memory.splitting import Split

Rows: TypeAlias = Sequence[TokenRow]

_SHORT_ROWS: Final = (16, 48)
"""Tokens of the rows that are run for real where a dry run is not possible."""


_PASSES: Final = 2
"""The memory of gradients is taken in the first pass, and there in every one after it."""

_CANNOT_RUN_DRY: Final = (RuntimeError, TypeError, ValueError, AttributeError)
"""What operations raise that have no fake implementation, or look at numbers or addresses."""


@dataclass(frozen=True)
class Workload:
    """What a run will do, as far as its memory depends on it; of several processes, in this one."""

    model: Module
    """The transformers model, over whose parameters rows are computed."""
    layers: int | None
    """How many keep what their backward pass needs, where any number can be computed."""
    vocabulary_size: int
    weights: Sequence[Tensor]
    """All that is held for the weights, copies in other precisions included."""
    optimizer: Sequence[Tensor]
    """What the optimizer holds by now: nothing, unless a checkpoint was loaded."""
    optimizer_bytes: int
    """What it will hold."""
    rounds: Sequence[Sequence[Rows]]
    """Of all steps: the rows of each micro-batch that is computed at the same time as others."""
    gradients: int
    """What is held for their gradients."""
    begin: Callable[[int | None], Callable[[Rows], object]]
    """What computes micro-batches one after the other, through so many layers or through all."""
    sizes: Callable[[Rows], tuple[int, int]]
    """Tokens of a micro-batch as it will be laid out, and those of them that bear loss."""
    recorded: int = 0
    """What is held on a GPU for passes that are replayed, beside what they compute with."""
    split: Split | None = None
    """What comes of a model's being split; None where it lies whole."""


def heaviest(
    rounds: Iterable[Sequence[Rows]], sizes: Callable[[Rows], tuple[int, int]]
) -> list[Sequence[Rows]]:
    """The rounds with most tokens, with most that bear loss, and with the longest rows; of several, the one
    with most of the other, where `sizes` gives both."""
    listed = [(each, *_sum(map(sizes, each))) for each in rounds]
    weights: tuple[Callable[[tuple[Sequence[Rows], int, int]], tuple[int, ...]], ...] = (
        lambda each: (each[1], each[2]),
        lambda each: (each[2], each[1]),
        lambda each: (sum(row.tokens**2 for rows in each[0] for row in rows),),
    )
    found = [max(listed, key=weight)[0] for weight in weights if listed]
    return list({id(each): each for each in found}.values())


def memory_estimate(work: Workload, hardware: Hardware) -> MemoryEstimate | None:
    """The peak and its components. The dry run takes seconds for a model of billions.

    None for a model that is split and cannot run dry: to measure it would take all its processes.
    """
    highest = _highest(work)
    if highest is None:
        return None
    method, most = highest
    slack, growth = (1.0, 0) if hardware.device == "cuda" else (CPU_SLACK, CPU_GROWTH_BYTES)
    base = growth + work.recorded + bytes_beside((*work.weights, *work.optimizer), hardware)
    split = work.split or Split()
    weights = held_bytes(work.weights, hardware)
    saving = base + weights + work.gradients + work.optimizer_bytes + split.saved
    weights += round(slack * split.gathered)
    gradients = work.gradients + round(slack * split.gradients)
    activations, logits = round(slack * most.activations), round(slack * most.logits)
    whole = base + weights + work.optimizer_bytes + gradients + activations + logits
    return MemoryEstimate(
        weights=weights,
        gradients=gradients,
        optimizer=work.optimizer_bytes,
        activations=activations,
        logits=logits,
        base=base,
        peak=max(whole, saving, peak_bytes(hardware)),
        available=available_bytes(hardware),
        method=method,
    )


def _highest(work: Workload) -> tuple[EstimateMethod, Holding] | None:
    try:
        return EstimateMethod.DRY_RUN, _highest_of_all(work, _dry)
    except _CANNOT_RUN_DRY:
        if work.split is not None:
            return None
        return EstimateMethod.MEASURED, _highest_of_all(work, _from_short_rows)


def _highest_of_all(work: Workload, measure: Callable[[Workload, Rows], Holding]) -> Holding:
    """Micro-batches of a round are of like size, so that the largest tells of all. A validation
    keeps nothing for a backward pass, and so holds less."""
    found = [
        measure(work, max(packs, key=_tokens)).times(len(packs))
        for packs in heaviest(work.rounds, work.sizes)
    ]
    return max(found, key=lambda each: each.passing, default=Holding())


def _dry(work: Workload, rows: Rows) -> Holding:
    if work.layers is None:
        return dry_run(
            work.model,
            partial(work.begin(None), rows),
            passes=_PASSES,
            vocabulary_size=work.vocabulary_size,
        )
    one, two = (
        dry_run_as_written(
            work.model,
            partial(work.begin(count), rows),
            vocabulary_size=work.vocabulary_size,
        )
        for count in (1, 2)
    )
    return one.and_growth(two, times=max(0, work.layers - 1))


def _from_short_rows(work: Workload, rows: Rows) -> Holding:
    """A straight line through two short rows, drawn to all tokens."""

    def held(row: TokenRow) -> Holding:
        return real_run(
            work.model,
            partial(work.begin(None), [row]),
            passes=_PASSES,
            vocabulary_size=work.vocabulary_size,
        )

    tokens = _tokens(rows)
    share = sum(row.trained_tokens for row in rows) / tokens
    longest = max(rows, key=lambda row: row.tokens)
    short, long = (_cut(longest, length, share) for length in _SHORT_ROWS)
    first, last = short.tokens, long.tokens
    steps = (tokens - first) / max(1, last - first)
    line = zip(held(short), held(long), strict=True)
    return Holding(*(round(start + steps * (end - start)) for start, end in line))


def _cut(row: TokenRow, length: int, share: float) -> Row:
    """The start of a row, with a share of it bearing loss."""
    ids = row.input_ids[:length]
    trained = max(1, round(share * len(ids)))
    labels = [IGNORED] * (len(ids) - trained) + ids[-trained:]
    return Row(row.line, ids, labels, content=b"")


def _sum(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    tokens, trained = zip(*sizes, strict=True)
    return sum(tokens), sum(trained)


def _tokens(rows: Rows) -> int:
    return sum(row.tokens for row in rows)
