"""Ingest and tokenising beside `datasets` and TRL, all in one run: `python -m benchmarks.data`.

Every arm reads the same conversations in a process of its own, one after the other. Prints the figures
of each, then ours against the best of theirs, unless the arms did not do equal work: then it says
which. Exits 1 in that case, or if a limit is missed. docs/benchmarks.md says what is compared.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.data.workload import HOME, MODEL, Workload
from benchmarks.machine import describe_machine
from benchmarks.training.processes import run

STAGES: Final = {
    "ingest": ("datasets-ingest",),
    "tokenise": ("datasets-tokenise", "datasets-tokenise-batched", "trl-tokenise"),
}
"""Our arms, and the peers' that do the same."""
MAX_BYTES: Final = 300 * 10**6
"""Of ours, however many records there are."""

Figures: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    workload: Workload
    stages: tuple[str, ...]
    alone: bool
    repeats: int
    peers: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, print, and judge."""
    options = _options(arguments)
    folder = options.workload.folder
    folder.mkdir(parents=True, exist_ok=True)
    _prepare(options)
    print(describe_machine())
    print(
        f"{options.workload.records:,} conversations, "
        f"{options.workload.source.stat().st_size / 1e6:,.1f} MB, best of {options.repeats}"
    )
    met = [_stage(stage, options) for stage in options.stages]
    return 0 if all(met) else 1


def _prepare(options: Options) -> None:
    folder, peers = options.workload.folder, str(options.peers)
    if not MODEL.is_dir():
        model = [sys.executable, "-m", "benchmarks.training.preparation", "smollm2-64", "64", peers]
        run(model, folder / "model.log", threads=1)
    data = [sys.executable, "-m", "benchmarks.data.preparation"]
    run([*data, str(options.workload.records), peers], folder / "preparation.log", threads=1)


def _stage(stage: str, options: Options) -> bool:
    """Run a stage's arms, taking turns, and print them. Whether all limits were kept."""
    arms = (stage,) if options.alone else (stage, *STAGES[stage])
    runs: dict[str, list[Figures]] = {arm: [] for arm in arms}
    for _ in range(options.repeats):
        for arm in arms:
            runs[arm].append(_run(arm, options))
    _print_arms(runs)
    proofs = {arm: {_proof(each) for each in figures} for arm, figures in runs.items()}
    if len(set.union(*proofs.values())) > 1:
        print("The arms did not do equal work, so that no ratios are given:", proofs)
        return False
    met = all(each["peak_bytes"] <= MAX_BYTES for each in runs[stage])
    for figure, name in (("seconds", "time"), ("cpu_seconds", "CPU time")):
        theirs = [min(each[figure] for each in runs[arm]) for arm in arms[1:]]
        if theirs:
            ratio = min(theirs) / min(each[figure] for each in runs[stage])
            met = met and ratio >= 1
            print(f"  {name}, the fastest peer / ours: {ratio:.2f} (limit 1.00)")
    print(
        f"  ours within {MAX_BYTES / 1e6:.0f} MB resident, and all limits: {'yes' if met else 'NO'}"
    )
    return met


def _run(arm: str, options: Options) -> Figures:
    workload = options.workload
    folder = workload.folder / arm
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source, canonical, model = map(str, (workload.source, workload.canonical, MODEL))
    if arm == "ingest":
        command = [sys.executable, "-m", "benchmarks.data.ingest", str(folder), source]
    elif arm == "tokenise":
        command = [sys.executable, "-m", "benchmarks.data.tokenise", str(folder), canonical, model]
    else:
        python = str(options.peers / "bin" / "python")
        peer = str(Path(__file__).with_name("peer.py").resolve())
        command = [python, "-P", peer, arm, str(folder), source, canonical, model]
    threaded = ["env", "TOKENIZERS_PARALLELISM=true"]  # for everyone, as it is out of the box
    run([*threaded, *command], folder / "log", threads=len(os.sched_getaffinity(0)))
    figures: Figures = json.loads((folder / "figures.json").read_bytes())
    for made in folder.iterdir():  # a gigabyte an arm
        if made.is_dir():
            shutil.rmtree(made)
        elif made.suffix in (".jsonl", ".arrow"):
            made.unlink()
    return figures


def _proof(figures: Figures) -> tuple[object, ...]:
    return figures["rows"], figures.get("tokens"), figures["digest"]


def _print_arms(runs: dict[str, list[Figures]]) -> None:
    print(f"\n{'arm':26}{'records/s':>11}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}  digest")
    for arm, figures in runs.items():
        best = min(figures, key=lambda each: each["seconds"])
        print(
            f"{arm:26}{best['rows'] / best['seconds']:11,.0f}{best['seconds']:9.1f}"
            f"{min(each['cpu_seconds'] for each in figures):8.1f}"
            f"{max(each['peak_bytes'] for each in figures) / 1e6:9.0f}  {best['digest'][:12]}"
        )


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="benchmarks.data", description="Time ingest and tokenising beside other libraries."
    )
    parser.add_argument("--records", type=int, default=20_000, help="conversations of the file")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"of: {', '.join(STAGES)}")
    parser.add_argument("--alone", action="store_true", help="without the peers, for its memory")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each arm, taking turns")
    parser.add_argument(
        "--peers", type=Path, default=HOME / "peers", help="the virtual environment of the peers"
    )
    chosen = parser.parse_args(arguments)
    stages = tuple(chosen.stages.split(","))
    if unknown := [stage for stage in stages if stage not in STAGES]:
        parser.error(f"no such stage: {', '.join(unknown)}; there are {', '.join(STAGES)}")
    if chosen.repeats < 1 or chosen.records < 1:
        parser.error("--repeats and --records must be 1 or more")
    if not (chosen.peers / "bin" / "python").exists():
        parser.error(f"there is no Python in {chosen.peers}; run: make bench-peers")
    return Options(
        Workload(chosen.records), stages, chosen.alone, chosen.repeats, chosen.peers.absolute()
    )


if __name__ == "__main__":
    sys.exit(main())
