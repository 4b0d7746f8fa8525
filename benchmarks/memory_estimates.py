"""How near the estimates of memory and time come to what runs then need.

`python -m benchmarks.memory_estimates` trains models of many shapes with random weights, each run
in a process of its own, and prints the estimate beside the measurement. The constants in
`training/estimates.py` were fitted on the configurations not marked as held out; `--fit` prints
what they would be now. `--model FOLDER` adds runs of a real model, held out too. `--only TEXT`
chooses by name. Exits 1 where a held-out estimate of memory is off by more than 15%.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.machine import describe_machine
from tests.tiny_model import make_tiny_model
from training import events
from training.config import DataType, JobSpec, Sharding, TrainingType, resolve
from training.estimates import CPU_GROWTH_BYTES, CPU_SLACK, MemoryEstimate

MAX_ERROR: Final = 0.15
STEPS: Final = 3
WORDS: Final = "the capital of France is Paris and a spider has eight legs "


@dataclass(frozen=True)
class Shape:
    """A model of random weights."""

    kind: str
    hidden: int
    layers: int
    vocabulary: int
    tied: bool = True

    def build(self, folder: Path) -> Path:
        """Write it, with a small tokenizer whose tokens are a part of its vocabulary."""
        make_tiny_model(folder)
        common = {
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 0,
        }
        heads = self.hidden // 64
        if self.kind == "gpt2":
            sizes = {"n_embd": self.hidden, "n_layer": self.layers, "n_head": heads}
            sizes["n_positions"] = 4096
        else:
            sizes = {
                "hidden_size": self.hidden,
                "intermediate_size": 3 * self.hidden,
                "num_hidden_layers": self.layers,
                "num_attention_heads": heads,
                "num_key_value_heads": max(1, heads // 2),
                "max_position_embeddings": 4096,
            }
            if self.kind == "qwen3":
                sizes["head_dim"] = 64
        config = AutoConfig.for_model(self.kind, **common, **sizes)
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        return folder


@dataclass(frozen=True)
class Case:
    """One run: a model, a method, and rows of one length."""

    name: str
    shape: Shape | Path
    method: TrainingType
    tokens: int
    batch_size: int
    accumulation: int = 1
    held_out: bool = False
    devices: int = 1
    """Among so many processes the model is split; the figures are those of the first."""


class Outcome(NamedTuple):
    """What was told and what was found."""

    case: Case
    estimate: MemoryEstimate
    estimated_seconds: float | None
    peak_bytes: int
    seconds: float

    @property
    def error(self) -> float:
        """Of the estimated peak, relative to the measured one."""
        return self.estimate.peak / self.peak_bytes - 1

    @property
    def error_above_base(self) -> float:
        """The same of what lies above the process's base alone."""
        base = self.estimate.base
        return (self.estimate.peak - base) / max(1, self.peak_bytes - base) - 1


LORA, FULL = TrainingType.LORA, TrainingType.FULL
SMALL = Shape("llama", 256, 4, 8_000)
MEDIUM = Shape("qwen2", 512, 8, 32_000)
WIDE = Shape("qwen3", 512, 4, 151_936)
OLD = Shape("gpt2", 512, 6, 16_000)
UNTIED = Shape("llama", 768, 10, 32_000, tied=False)

CASES: Final = (
    Case("llama 5M LORA 4x256", SMALL, LORA, 256, 4),
    Case("llama 5M FULL 2x512", SMALL, FULL, 512, 2),
    Case("qwen2 42M LORA 4x256", MEDIUM, LORA, 256, 4),
    Case("qwen2 42M FULL 4x256", MEDIUM, FULL, 256, 4),
    Case("qwen2 42M FULL 1x512 of 2", MEDIUM, FULL, 512, 1, accumulation=2),
    Case("qwen3 92M LORA 2x256", WIDE, LORA, 256, 2),
    Case("gpt2 27M LORA 2x1024", OLD, LORA, 1024, 2),
    Case("llama 128M LORA 1x256", UNTIED, LORA, 256, 1),
    Case("llama 5M LORA 1x2048", SMALL, LORA, 2048, 1, held_out=True),
    Case("llama 5M FULL 8x256", SMALL, FULL, 256, 8, held_out=True),
    Case("qwen2 42M LORA 2x512 of 2", MEDIUM, LORA, 512, 2, accumulation=2, held_out=True),
    Case("qwen2 42M FULL 1x1024", MEDIUM, FULL, 1024, 1, held_out=True),
    Case("qwen3 92M LORA 1x1024", WIDE, LORA, 1024, 1, held_out=True),
    Case("qwen3 92M FULL 2x128", WIDE, FULL, 128, 2, held_out=True),
    Case("gpt2 27M FULL 4x256", OLD, FULL, 256, 4, held_out=True),
    Case("llama 128M LORA 2x512", UNTIED, LORA, 512, 2, held_out=True),
    Case("llama 128M FULL 1x256", UNTIED, FULL, 256, 1, held_out=True),
    Case("split: llama 5M FULL 8x512", SMALL, FULL, 512, 8, held_out=True, devices=2),
    Case("split: qwen2 42M LORA 4x256", MEDIUM, LORA, 256, 4, held_out=True, devices=2),
    Case("split: qwen2 42M FULL 4x256", MEDIUM, FULL, 256, 4, held_out=True, devices=2),
    Case("split: qwen3 92M LORA 1x1024 of 2", WIDE, LORA, 1024, 1, 2, held_out=True, devices=2),
    Case("split: gpt2 27M FULL 4x256", OLD, FULL, 256, 4, held_out=True, devices=2),
    Case("split: llama 128M FULL 2x256", UNTIED, FULL, 256, 2, held_out=True, devices=2),
)


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a real model's folder")
    parser.add_argument("--only", default="", help="part of the names of those to run")
    parser.add_argument("--fit", action="store_true", help="print what the constants should be")
    options = parser.parse_args()
    print(describe_machine())
    outcomes = []
    for case in chosen_cases(options.model, options.only):
        outcomes.append(measured(case))
        print(line(outcomes[-1]), flush=True)
    held_out = [each for each in outcomes if each.case.held_out]
    worst = max((abs(each.error) for each in held_out), default=0.0)
    print(f"largest error of {len(held_out)} held-out estimates: {100 * worst:.1f}%")
    if options.fit:
        slack, growth = fitted([each for each in outcomes if not each.case.held_out])
        print(f"fitted: CPU_SLACK = {slack:.2f}, CPU_GROWTH_BYTES = {growth / 1e6:.0f} MB")
    return 0 if worst <= MAX_ERROR else 1


def chosen_cases(model: Path | None, part: str) -> Iterator[Case]:
    """The cases to run."""
    real = (
        ()
        if model is None
        else (
            Case(f"{model.name} LORA 4x256", model, LORA, 256, 4, held_out=True),
            Case(f"{model.name} FULL 2x128", model, FULL, 128, 2, held_out=True),
        )
    )
    return (case for case in (*CASES, *real) if part in case.name)


def measured(case: Case) -> Outcome:
    """Train in a process of its own, and read what it told."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = case.shape
        if isinstance(model, Shape):
            model = model.build(folder / "model")
        write_job(folder / "job", model, case)
        command = [sys.executable, "-P", "-m", "training.run", str(folder / "job")]
        source = str(Path(__file__).parents[1])
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": source} | os.environ
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
        return outcome_of(case, folder / "job" / "events.jsonl")


def write_job(folder: Path, model: Path, case: Case) -> None:
    """A job of a few steps over rows that are all cut at the same length."""
    folder.mkdir()
    rows = (STEPS + 1) * case.batch_size * case.accumulation
    text = WORDS * (case.tokens // 8)
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"text": f"{n} {text}"}) + "\n" for n in range(rows)))
    choices = {
        "batch_size": case.batch_size,
        "gradient_accumulation_steps": case.accumulation,
        "max_sequence_length": case.tokens,
        "epochs": 1,
        "max_steps": STEPS,
        "devices": case.devices,
        "sharding": Sharding.FULL if case.devices > 1 else Sharding.NONE,
    }
    spec = JobSpec(
        config=resolve(case.method, choices),
        model_path=str(model),
        dataset_path=str(data),
        data_type=DataType.TEXT,
    )
    (folder / "job.json").write_text(spec.model_dump_json())


def outcome_of(case: Case, path: Path) -> Outcome:
    """The figures among the events of a run that completed."""
    found = {type(event): event for event in map(events.parse, path.read_bytes().splitlines())}
    end = found[events.Finished]
    assert isinstance(end, events.Finished)
    assert end.outcome is events.Outcome.COMPLETED, end.error
    memory, used = found[events.MemoryEstimated], found[events.ResourcesUsed]
    time = found.get(events.TimeEstimated)
    assert isinstance(memory, events.MemoryEstimated)
    assert isinstance(used, events.ResourcesUsed)
    seconds = time.seconds if isinstance(time, events.TimeEstimated) else None
    return Outcome(case, memory.memory, seconds, used.peak_memory_bytes, used.seconds)


def line(outcome: Outcome) -> str:
    """A row of the table."""
    estimate = outcome.estimate
    parts = " ".join(
        f"{name} {getattr(estimate, name) / 1e6:.0f}"
        for name in ("weights", "gradients", "optimizer", "activations", "logits", "base")
    )
    time = outcome.estimated_seconds
    return (
        f"{'held out' if outcome.case.held_out else 'fitted  '}  {outcome.case.name:27} "
        f"{estimate.method:8} {estimate.peak / 1e6:6.0f} MB, measured {outcome.peak_bytes / 1e6:6.0f}: "
        f"{100 * outcome.error:+6.1f}% (above base {100 * outcome.error_above_base:+6.1f}%)  "
        f"{'-' if time is None else f'{time:.1f}'} s, measured {outcome.seconds:.1f}  [{parts}]"
    )


def fitted(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """The constants with the least squared relative error, by search over a grid."""
    best = (float("inf"), CPU_SLACK, float(CPU_GROWTH_BYTES))
    for slack in (1 + hundredth / 100 for hundredth in range(-10, 60)):
        for growth in range(0, 201, 2):
            error = sum(_error(each, slack, growth * 1e6) ** 2 for each in outcomes)
            best = min(best, (error, slack, growth * 1e6))
    return best[1:]


def _error(outcome: Outcome, slack: float, growth: float) -> float:
    told = outcome.estimate
    passing = (told.activations + told.logits) / CPU_SLACK
    steady = told.weights + told.gradients + told.optimizer + told.base - CPU_GROWTH_BYTES
    return (steady + growth + slack * passing) / outcome.peak_bytes - 1


if __name__ == "__main__":
    sys.exit(main())
