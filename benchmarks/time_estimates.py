"""How near the time that is told before a run comes to what the run then takes.

`python -m benchmarks.time_estimates` trains models of several shapes with random weights, each run in a
process of its own, a short one and a longer one of each. The short one's time is told from the rate at
which this machine multiplies matrices, measured just before; the longer one's from that, and from the
short one as an earlier run. Prints what was told of each phase beside what it took. `--model FOLDER` adds
runs of a real model, `--only TEXT` chooses by name. Exits 1 where a run ends outside the factor that its
estimate names. `--json FILE` writes the figures down. Beside the seconds stand those of the processor:
on one thread (`OMP_NUM_THREADS=1`, the default here) both are the same unless something else runs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.memory_estimates import Shape
from training import events
from training.config import DataType, JobSpec, TrainingConfig, TrainingType, resolve
from training.data.records import canonical_line
from training.data.tally import tallying
from training.devices.machine import Machine, look
from training.models.facts import ModelFacts
from training.models.inspection import inspect
from training.steps.expected import ExpectedRows, Stored, expected_rows
from training.steps.schedule import validation_rows
from training.timing.estimate import EarlierRun, TimeEstimate, by_earlier, by_rate

TEXT: Final = (Path(__file__).parents[1] / "README.md").read_text() * 4
CHARACTERS: Final = 3
"""Of a token, about."""


@dataclass(frozen=True)
class Case:
    """A model, a method, and how many rows of about which length."""

    name: str
    model: Shape | Path
    method: TrainingType
    tokens: int
    rows: int
    epochs: int = 2


SMALL = Shape("llama", 256, 4, 8_000)
MEDIUM = Shape("qwen2", 512, 8, 32_000)
WIDE = Shape("qwen3", 512, 4, 151_936)
OLD = Shape("gpt2", 512, 6, 16_000)
GEMMA = Shape("gemma2", 512, 6, 16_000)
UNTIED = Shape("llama", 768, 10, 32_000, tied=False)

CASES: Final = (
    Case("llama 5M LORA", SMALL, TrainingType.LORA, 30, 200),
    Case("llama 5M FULL", SMALL, TrainingType.FULL, 200, 120),
    Case("qwen2 42M LORA", MEDIUM, TrainingType.LORA, 150, 60),
    Case("qwen2 42M FULL", MEDIUM, TrainingType.FULL, 150, 40),
    Case("qwen2 42M FREEZE", MEDIUM, TrainingType.FREEZE, 150, 60),
    Case("qwen2 42M QLORA", MEDIUM, TrainingType.QLORA, 150, 40),
    Case("qwen3 92M LORA", WIDE, TrainingType.LORA, 150, 30),
    Case("gpt2 27M LORA", OLD, TrainingType.LORA, 150, 40),
    Case("gpt2 27M FULL", OLD, TrainingType.FULL, 150, 40),
    Case("llama 128M LORA", UNTIED, TrainingType.LORA, 100, 40),
)


@dataclass(frozen=True)
class Work:
    """What a job is told of, and what it did."""

    case: Case
    facts: ModelFacts
    config: TrainingConfig
    rows: ExpectedRows
    records: int
    machine: Machine
    took: EarlierRun
    processor_seconds: float


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a real model's folder")
    parser.add_argument("--only", default="", help="part of the names of those to run")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    print(describe_machine())
    outside, figures = 0, []
    for case in chosen_cases(options.model, options.only):
        for label, estimate, work in compared(case):
            print(line(label, estimate, work), flush=True)
            figures.append(figure(label, estimate, work))
            outside += not is_within(estimate, work.took)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    print(f"{outside} of {len(figures)} outside their factor")
    return 1 if outside else 0


def chosen_cases(model: Path | None, part: str) -> Iterator[Case]:
    """The cases to run."""
    real = () if model is None else (Case(f"{model.name} LORA", model, TrainingType.LORA, 60, 60),)
    return (case for case in (*CASES, *real) if part in case.name)


def compared(case: Case) -> Iterator[tuple[str, TimeEstimate, Work]]:
    """Each run beside what was told of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = case.model
        if isinstance(model, Shape):
            model = model.build(folder / "model")
        facts = inspect(str(model))
        short = run(case, facts, model, folder=folder / "short", times=1)
        yield "short, by rate", _by_rate(short), short
        longer = run(case, facts, model, folder=folder / "longer", times=2)
        yield "longer, by rate", _by_rate(longer), longer
        yield (
            "longer, by short",
            by_earlier(
                facts,
                longer.config,
                rows=longer.rows,
                validation_rows=_held_out(longer),
                earlier=short.took,
            ),
            longer,
        )


def run(case: Case, facts: ModelFacts, model: Path, *, folder: Path, times: int) -> Work:
    """Measure the machine, and train in a process of its own."""
    folder.mkdir()
    machine = measured_machine(folder)
    sizes = [round(CHARACTERS * case.tokens * (0.6 + n % 9 / 10)) for n in range(case.rows * times)]
    records = [{"text": f"{n} " + TEXT[37 * n % 10_000 :][:size]} for n, size in enumerate(sizes)]
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(each) + "\n" for each in records))
    config = resolve(case.method, {"epochs": case.epochs + times - 1, "learning_rate": 1e-4})
    spec = JobSpec(
        config=config,
        model_path=str(model),
        dataset_path=str(data),
        data_type=DataType.TEXT,
    )
    (folder / "job.json").write_text(spec.model_dump_json())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child("training.run", str(folder))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    with tallying(DataType.TEXT) as tally:
        for record in records:
            tally.add(record, canonical_line(record))
        counted = tally.statistics()
    stored = Stored(DataType.TEXT, data.stat().st_size, counted)
    assert facts.tokenizer is not None
    rows = expected_rows(stored, facts.tokenizer, config)
    assert rows is not None
    done = took(folder, config)
    return Work(case, facts, config, rows, len(records), machine, done, processor)


def child(module: str, *arguments: str) -> None:
    """A process as a worker starts it."""
    source = str(Path(__file__).parents[1])
    defaults = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": source}
    command = [sys.executable, "-P", "-m", module, *arguments]
    subprocess.run(command, env=defaults | os.environ, check=True, stderr=subprocess.DEVNULL)


def measured_machine(folder: Path) -> Machine:
    """This machine, its rate measured now."""
    child("training.devices.rate", str(folder / "rate.json"))
    rate = json.loads((folder / "rate.json").read_bytes())["result"]["operations_per_second"]
    machine = look((), threads=int(os.environ.get("OMP_NUM_THREADS", "1")))
    assert machine is not None
    return machine.model_copy(update={"operations_per_second": rate})


def took(folder: Path, config: TrainingConfig) -> EarlierRun:
    """What a run that completed says of itself."""
    found = [events.parse(each) for each in (folder / "events.jsonl").read_bytes().splitlines()]
    phases = {each.phase: each.at for each in found if isinstance(each, events.PhaseStarted)}
    data = next(each for each in found if isinstance(each, events.DataPrepared))
    end = found[-2] if isinstance(found[-1], events.ResourcesUsed) else found[-1]
    assert isinstance(end, events.Finished)
    assert end.outcome is events.Outcome.COMPLETED, end.error
    preparing, training, validating = (phases[each] for each in events.Phase)
    return EarlierRun(
        config=config,
        training_records=data.training_records,
        validation_records=data.validation_records,
        tokens=data.tokens,
        trained_tokens=data.trained_tokens,
        steps=data.total_steps,
        same_rows=False,
        preparing_seconds=(training - preparing).total_seconds(),
        training_seconds=(validating - training).total_seconds(),
        validating_seconds=(end.at - validating).total_seconds(),
    )


def _by_rate(work: Work) -> TimeEstimate:
    estimate = by_rate(
        work.facts,
        work.config,
        rows=work.rows,
        validation_rows=_held_out(work),
        machine=work.machine,
    )
    assert estimate is not None
    return estimate


def _held_out(work: Work) -> int:
    return validation_rows(work.records, work.config.validation_split)


def _total(run: EarlierRun) -> float:
    return run.preparing_seconds + run.training_seconds + run.validating_seconds


def is_within(estimate: TimeEstimate, run: EarlierRun) -> bool:
    """Whether a run ended within the factor that its estimate names."""
    return 1 / estimate.factor <= estimate.total / _total(run) <= estimate.factor


def line(label: str, estimate: TimeEstimate, work: Work) -> str:
    """A row of the table."""
    run = work.took
    pairs = (
        ("preparing", estimate.preparing, run.preparing_seconds),
        ("training", estimate.training, run.training_seconds),
        ("validating", estimate.validating, run.validating_seconds),
        ("total", estimate.total, _total(run)),
    )
    told = "  ".join(f"{name} {one:.1f} of {two:.1f} s" for name, one, two in pairs)
    rate = (work.machine.operations_per_second or 0) / 1e9
    return (
        f"{work.case.name:18} {label:17} {told}  ratio {estimate.total / _total(run):.2f}, of "
        f"training {estimate.training / run.training_seconds:.2f}, processor "
        f"{work.processor_seconds:.1f} s, ratio {estimate.total / work.processor_seconds:.2f}  "
        f"[{rate:.0f} GFLOP/s, "
        f"{run.tokens} tokens, {work.rows.mean * work.rows.count:.0f} told]"
    )


def figure(label: str, estimate: TimeEstimate, work: Work) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": work.case.name,
        "label": label,
        "told": estimate.model_dump(mode="json"),
        "took": work.took.model_dump(mode="json"),
        "processor_seconds": work.processor_seconds,
        "facts": work.facts.model_dump(mode="json"),
        "machine": work.machine.model_dump(mode="json"),
    }


if __name__ == "__main__":
    sys.exit(main())
