"""Training beside the programs others train with, all in one run: `python -m benchmarks.training`.

Every arm trains the same rows from the same weights in a process of its own, one after the other. Prints the
figures of each, then ours against the best of theirs, unless the arms did not do equal work: then it
says which. Exits 1 in that case, or if a limit is missed. docs/benchmarks.md says what each figure means.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.training import report
from benchmarks.training.arms import ARMS, FUSED, OURS, PEERS, run_arm
from benchmarks.training.equality import differences
from benchmarks.training.figures import Figures
from benchmarks.training.processes import run
from benchmarks.training.ratios import ratios
from benchmarks.training.workloads import HOME, WORKLOADS, Workload


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    workload: Workload
    arms: tuple[str, ...]
    repeats: int
    peers: Path
    threads: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, print, and judge."""
    options = _options(arguments)
    workload = options.workload
    workload.folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-m", "benchmarks.training.preparation"]
    command = [*program, workload.name, str(workload.rows), str(options.peers)]
    run(command, workload.folder / "preparation.log", threads=options.threads)
    report.print_workload(workload, threads=options.threads)
    peaks = [_matmul_peaks(options)]
    measured = _measure(options)
    peaks.append(_matmul_peaks(options))
    report.write(measured, peaks, workload.folder / "report.json")
    report.print_arms(measured)
    report.print_peaks(peaks)
    unequal = differences(measured, workload)
    if unequal:
        print("The arms did not do equal work, so that no ratios are given:", *unequal, sep="\n  ")
        return 1
    found = ratios(measured, workload, peak=max(each["bf16"] for each in peaks))
    report.print_left_out(measured, workload)
    report.print_ratios(found)
    return 0 if all(ratio.is_met for ratio in found) else 1


def _measure(options: Options) -> dict[str, list[Figures]]:
    """All runs of every arm, the arms taking turns."""
    measured: dict[str, list[Figures]] = {arm: [] for arm in options.arms}
    for repeat in range(options.repeats):
        for arm in options.arms:
            folder = options.workload.folder / f"{arm}-{repeat + 1}"
            figures = run_arm(
                arm, options.workload, folder, peers=options.peers, threads=options.threads
            )
            report.print_run(arm, repeat + 1, figures)
            measured[arm].append(figures)
    return measured


def _matmul_peaks(options: Options) -> dict[str, float]:
    log = options.workload.folder / "machine.log"
    run([sys.executable, "-m", "benchmarks.training.machine"], log, threads=options.threads)
    peaks: dict[str, float] = json.loads(log.read_bytes())
    return peaks


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="benchmarks.training", description="Time training beside other programs."
    )
    parser.add_argument("--workload", choices=WORKLOADS, default="smollm2-64")
    parser.add_argument("--arms", help=f"of: {', '.join(ARMS)}; by default those for the device")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each arm, taking turns")
    parser.add_argument("--rows", type=int, help="fewer rows than the workload has, to try it out")
    parser.add_argument("--threads", type=int, default=2, help="OpenMP threads of every arm")
    parser.add_argument(
        "--peers", type=Path, default=HOME / "peers", help="the virtual environment of the peers"
    )
    chosen = parser.parse_args(arguments)
    workload = WORKLOADS[chosen.workload]
    usual = (OURS, *(FUSED if workload.on_gpu else PEERS))
    arms = tuple(chosen.arms.split(",")) if chosen.arms else usual
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        parser.error(f"no such arm: {', '.join(unknown)}; there are {', '.join(ARMS)}")
    if chosen.repeats < 1:
        parser.error("--repeats must be 1 or more")
    if not (chosen.peers / "bin" / "python").exists():
        parser.error(f"there is no Python in {chosen.peers}; run: make bench-peers")
    if chosen.rows is not None:
        if not 1 <= chosen.rows <= workload.rows:
            parser.error(f"--rows must be 1 to {workload.rows}")
        workload = replace(workload, rows=chosen.rows)
    return Options(workload, arms, chosen.repeats, chosen.peers.absolute(), chosen.threads)


if __name__ == "__main__":
    sys.exit(main())
