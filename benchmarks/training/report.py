"""The figures in print: of each run, of each arm, and ours against the best of theirs."""

import hashlib
import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from benchmarks.server import describe_machine
from benchmarks.training.arms import OURS, PACKED
from benchmarks.training.figures import Figures
from benchmarks.training.flops import training_flops
from benchmarks.training.workloads import BATCH_SIZE, Workload

Measured: TypeAlias = Mapping[str, Sequence[Figures]]
Peaks: TypeAlias = Sequence[Mapping[str, float]]


def print_workload(workload: Workload, *, threads: int) -> None:
    """What is trained, and where."""
    lengths, labels = workload.lengths(), workload.label_counts()
    padded = sum(
        max(lengths[start : start + BATCH_SIZE]) * len(lengths[start : start + BATCH_SIZE])
        for start in range(0, len(lengths), BATCH_SIZE)
    )
    digest = hashlib.sha256(workload.rows_path.read_bytes()).hexdigest()
    print(describe_machine())
    print(f"{threads} OpenMP threads that wait passively, in every arm")
    print(
        f"{workload.name}: {workload.model}, {workload.method}, {len(lengths)} rows of {min(lengths)} "
        f"to {max(lengths)} tokens (median {statistics.median(lengths):.0f}), {BATCH_SIZE} a step, "
        f"{workload.steps} steps"
    )
    print(
        f"{sum(lengths)} tokens, {sum(labels)} of them labels; {padded} where every batch is padded "
        f"to its longest row; rows {digest[:12]}"
    )


def print_run(arm: str, repeat: int, figures: Figures) -> None:
    """One run, as soon as it is done."""
    print(
        f"  {arm} {repeat}: {figures.tokens_per_second:.1f} tokens/s, whole "
        f"{figures.whole_seconds:.1f} s, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def print_arms(measured: Measured) -> None:
    """What each arm took, the best of its runs and the worst, and the proof of its work."""
    _print_table(
        ["arm", "tokens/s", "training s", "whole s", "CPU s", "first step s", "peak MiB"],
        (
            [
                arm,
                _spread(runs, lambda run: run.tokens_per_second, best=max),
                _spread(runs, lambda run: run.training.seconds),
                _spread(runs, lambda run: run.whole_seconds),
                _spread(runs, lambda run: run.cpu_seconds),
                _spread(runs, lambda run: run.first_step_seconds),
                _spread(runs, lambda run: run.peak_bytes / 2**20, digits=0),
            ]
            for arm, runs in measured.items()
        ),
    )
    _print_table(
        ["arm", "steps", "tokens", "labels", "first loss", "last", "mean", "grad norm", "changed"],
        (_proof(arm, runs[0]) for arm, runs in measured.items()),
    )


def _proof(arm: str, figures: Figures) -> list[str]:
    training = figures.training
    first = "-" if training.first_loss is None else f"{training.first_loss:.4f}"
    return [
        f"{arm}{' (other rows a step)' if arm == PACKED else ''}",
        str(training.steps),
        str(training.tokens),
        str(training.label_tokens),
        first,
        f"{training.last_loss:.4f}",
        f"{training.mean_loss:.4f}",
        f"{training.gradient_norm:.3f}",
        f"{figures.changed_weights} of {figures.checked_weights}",
    ]


def print_peaks(peaks: Peaks) -> None:
    """What the machine can do, before and after the arms ran."""
    for name in ("bf16", "fp32"):
        figures = " then ".join(f"{peak[name] / 1e9:.0f}" for peak in peaks)
        print(f"matrix products in {name}: {figures} GFLOP/s")


def print_ratios(measured: Measured, workload: Workload, *, peak: float) -> None:
    """Ours against the best of theirs, each figure against whoever is best at it.

    `peak` is the machine's bf16 operations a second.
    """
    ours = measured.get(OURS)
    if not ours:
        return
    flops = training_flops(
        workload.model_path,
        method=workload.method,
        lengths=workload.lengths(),
        label_tokens=sum(workload.label_counts()),
    )
    speed = _fastest(ours)
    share = flops / sum(workload.lengths()) * speed / peak
    print(
        f"ours does {flops / 1e9:.0f} GFLOP of useful work at {share:.0%} of the bf16 peak measured here"
    )
    peers = {
        arm: runs
        for arm, runs in measured.items()
        if arm != OURS and all(run.training.steps == workload.steps for run in runs)
    }
    for arm in measured.keys() - peers.keys() - {OURS}:
        print(f"{arm} is left out below: it took {measured[arm][0].training.steps} steps")
    if not peers:
        return
    trl = {arm: runs for arm, runs in peers.items() if arm.startswith("trl")}
    for title, among in (("the fastest peer", peers), ("TRL's fastest", trl)):
        if among:
            arm = max(among, key=lambda arm: _fastest(among[arm]))
            print(f"tokens/s, ours / {title}: {speed / _fastest(among[arm]):.2f} ({arm})")
    arm = min(peers, key=lambda arm: _quickest(peers[arm]))
    print(
        f"whole process, the quickest peer / ours: {_quickest(peers[arm]) / _quickest(ours):.2f} ({arm})"
    )
    arm = min(peers, key=lambda arm: _memory(peers[arm]))
    print(f"peak memory, ours / the lowest peer: {_memory(ours) / _memory(peers[arm]):.2f} ({arm})")


def write(measured: Measured, peaks: Peaks, path: Path) -> None:
    """All of it as JSON."""
    runs = {arm: [asdict(figures) for figures in runs] for arm, runs in measured.items()}
    path.write_text(json.dumps({"machine": describe_machine(), "peaks": peaks, "runs": runs}))


def _fastest(runs: Sequence[Figures]) -> float:
    return max(run.tokens_per_second for run in runs)


def _quickest(runs: Sequence[Figures]) -> float:
    return min(run.whole_seconds for run in runs)


def _memory(runs: Sequence[Figures]) -> float:
    return statistics.median(run.peak_bytes for run in runs)


def _spread(
    runs: Sequence[Figures],
    figure: Callable[[Figures], float],
    *,
    best: Callable[[Iterable[float]], float] = min,
    digits: int = 1,
) -> str:
    """The best of a figure, and behind it the worst."""
    values = [figure(run) for run in runs]
    worst = min(values) if best is max else max(values)
    return f"{best(values):.{digits}f} ({worst:.{digits}f})"


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print()
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(cells))
    print()
