"""Time and memory of exports, beside those who write the same formats: `python -m benchmarks.export`.

Every arm writes the same model in a process of its own, one after the other; then another process
loads each file by its own runtime and compares it with the model. Prints the figures, and ours against
the peer's, unless a file is not the model: then it says which, and exits 1. docs/benchmarks.md says
what is compared.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.export.arms import FORMATS, HOME, OURS, Format, Place, arms_of, command_of
from benchmarks.machine import describe_machine
from benchmarks.training.processes import run

MODELS: Final = ("smollm2", "random")
MOST_DIVERGENT: Final = {"onnx-int8": 0.1, "gguf-q8_0": 0.1, "gguf-q4_k_m": 1.0}
"""KL divergence in nats above which a file is another model; of the others 1e-3."""

Figures: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    place: Place
    formats: tuple[str, ...]
    alone: bool
    repeats: int
    threads: int
    peers: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, print, and judge."""
    options = _options(arguments)
    options.place.folder.mkdir(parents=True, exist_ok=True)
    prepare = [sys.executable, "-m", "benchmarks.export.preparation", options.place.model_name]
    run(prepare, options.place.folder / "preparation.log", threads=options.threads)
    weights = sum(path.stat().st_size for path in options.place.model.glob("*.safetensors"))
    print(describe_machine())
    print(
        f"{options.place.model_name}, weights of {weights / 2**20:,.0f} MiB; best of "
        f"{options.repeats}, {options.threads} threads"
    )
    proven = [_format(name, options) for name in options.formats]
    return 0 if all(proven) else 1


def _format(name: str, options: Options) -> bool:
    """Run a format's arms, taking turns, prove and print them. Whether all are the model."""
    wanted = FORMATS[name]
    arms = (OURS,) if options.alone else arms_of(wanted)
    runs: dict[str, list[Figures]] = {arm: [] for arm in arms}
    for turn in range(options.repeats):
        for arm in arms:
            runs[arm].append(_run(name, arm, options, proves=turn == 0))
    _print_arms(name, runs)
    if wrong := _wrong(name, wanted, {arm: found[0]["proof"] for arm, found in runs.items()}):
        print(f"  NO ratios: {wrong}")
        return False
    for peer in arms[1:]:
        _print_ratios(runs[peer], runs[OURS])
    return True


def _run(name: str, arm: str, options: Options, *, proves: bool) -> Figures:
    wanted, place = FORMATS[name], options.place
    folder = place.folder / f"{name}-{arm}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = command_of(arm, wanted, place, folder, peers=options.peers)
    ended = run(command, folder / "log", threads=options.threads)
    figures: Figures = {
        "whole_seconds": ended.seconds,
        "whole_cpu_seconds": ended.cpu_seconds,
        "whole_peak_bytes": ended.peak_bytes,
        "files_bytes": sum(path.stat().st_size for path in (folder / "files").rglob("*")),
        **json.loads((folder / "figures.json").read_bytes()),
    }
    if proves:
        proof = [sys.executable, "-m", "benchmarks.export.proof", wanted.runtime]
        asked = [*proof, str(folder / "files"), str(place.model), str(folder)]
        run(asked, folder / "proof.log", threads=options.threads)
        figures["proof"] = json.loads((folder / "proof.json").read_bytes())
    shutil.rmtree(folder / "files")  # a gigabyte an arm
    return figures


def _wrong(name: str, wanted: Format, proofs: dict[str, Figures]) -> str:
    """Why the arms did not do equal work; empty where they did."""
    limit = MOST_DIVERGENT.get(name, 1e-3)
    for arm, proof in proofs.items():
        if not proof["kl"] <= limit:
            return f"the file of {arm} has a KL divergence of {proof['kl']:.2g}, above {limit}"
        if not proof.get("tokens_equal", True):
            return f"the file of {arm} splits text otherwise"
    if wanted.same_bytes and len({proof["digest"] for proof in proofs.values()}) > 1:
        return "the tensors of the files differ"
    return ""


def _print_arms(name: str, runs: dict[str, list[Figures]]) -> None:
    print(
        f"\n{name:22}{'whole s':>9}{'CPU s':>7}{'peak MiB':>10}{'work s':>8}{'beyond imports':>16}"
        f"{'file MiB':>10}{'tensors':>9}{'KL':>10}{'top-1':>8}  checksum"
    )
    for arm, found in runs.items():
        best = min(found, key=lambda each: each["whole_seconds"])
        beyond = max(each["peak_bytes"] - each["imported_bytes"] for each in found)
        proof = found[0]["proof"]
        print(
            f"  {arm:20}{best['whole_seconds']:9.1f}"
            f"{min(each['whole_cpu_seconds'] for each in found):7.1f}"
            f"{max(each['whole_peak_bytes'] for each in found) / 2**20:10,.0f}"
            f"{best['seconds']:8.1f}{beyond / 2**20:12,.0f} MiB{best['files_bytes'] / 2**20:10,.0f}"
            f"{proof.get('tensors', '-'):>9}{proof['kl']:10.1e}{proof['top1']:8.3f}"
            f"  {proof.get('digest', '-')[:12]}"
        )


def _print_ratios(theirs: list[Figures], ours: list[Figures]) -> None:
    for figure, said in (
        ("whole_seconds", "time"),
        ("whole_cpu_seconds", "CPU time"),
        ("whole_peak_bytes", "peak memory"),
    ):
        ratio = min(each[figure] for each in theirs) / min(each[figure] for each in ours)
        print(f"  {said}, theirs / ours: {ratio:.2f}")


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="benchmarks.export", description="Time exports beside other programs."
    )
    parser.add_argument("--model", default="smollm2", choices=MODELS, help="what is exported")
    parser.add_argument("--formats", default=",".join(FORMATS), help=f"of: {', '.join(FORMATS)}")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each arm, taking turns")
    parser.add_argument("--threads", type=int, default=2, help="OpenMP threads of every arm")
    parser.add_argument(
        "--peers", type=Path, default=HOME / "peers", help="the virtual environment of the peers"
    )
    chosen = parser.parse_args(arguments)
    formats = tuple(chosen.formats.split(","))
    if unknown := [name for name in formats if name not in FORMATS]:
        parser.error(f"no such format: {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    if chosen.repeats < 1 or chosen.threads < 1:
        parser.error("--repeats and --threads must be 1 or more")
    if not chosen.alone and not (chosen.peers / "bin" / "python").exists():
        parser.error(f"there is no Python in {chosen.peers}; run: make bench-peers")
    if not chosen.alone and not (HOME / "llama.cpp" / "convert_hf_to_gguf.py").exists():
        parser.error(f"there is no {HOME / 'llama.cpp'}; run: make bench-peers")
    place, peers = Place(chosen.model), chosen.peers.absolute()
    return Options(place, formats, chosen.alone, chosen.repeats, chosen.threads, peers)


if __name__ == "__main__":
    sys.exit(main())
