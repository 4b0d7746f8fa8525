"""The figures in print: of each run, of each arm, and ours against the best of theirs."""

import hashlib
import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from benchmarks.machine import describe_machine
from benchmarks.training.arms import OURS, PACKED
from benchmarks.training.figures import Figures
from benchmarks.training.processes import peers_wait
from benchmarks.training.ratios import Measured, Ratio, comparable_peers
from benchmarks.training.workloads import BATCH_SIZE, Workload

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
    print(f"{threads} OpenMP threads in every arm; those of peers wait: {peers_wait()}")
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
    return [
        f"{arm}{' (other rows a step)' if arm.startswith(PACKED) else ''}",
        str(training.steps),
        str(training.tokens),
        str(training.label_tokens),
        f"{training.first_loss:.4f}",
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


def print_ratios(found: Sequence[Ratio]) -> None:
    """Each ratio beside its limit."""
    for ratio in found:
        side = "at most" if ratio.lower_is_better else "at least"
        limit = "" if ratio.limit is None else f" ({side} {ratio.limit:.2f})"
        missed = "" if ratio.is_met else "   MISSED"
        print(f"{ratio.value:6.2f}  {ratio.name}{limit}{missed}")


def print_left_out(measured: Measured, workload: Workload) -> None:
    """The peers whose steps are not as many as everyone else's, so that no ratio counts them."""
    for arm in measured.keys() - comparable_peers(measured, workload).keys() - {OURS}:
        steps = measured[arm][0].training.steps
        print(f"{arm} is left out of the ratios: it took {steps} steps, not {workload.steps}")


def write(measured: Measured, peaks: Peaks, path: Path) -> None:
    """All of it as JSON."""
    runs = {arm: [asdict(figures) for figures in runs] for arm, runs in measured.items()}
    path.write_text(json.dumps({"machine": describe_machine(), "peaks": peaks, "runs": runs}))


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
