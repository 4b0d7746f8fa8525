"""What goes wrong in whole runs: numbers that are none, full disks, too little memory, a stop."""

import ctypes
import errno
import itertools
import math
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tests.training.forked import hold_tokens, left, start_forked
from tests.training.jobs import of_kind, qa_rows, read_events, run_here, wait_for, write_job
from tests.training.weights import difference
from training import checkpoints, preparation
from training.base_models import load_base, load_tokenizer
from training.checkpoints import CheckpointStore
from training.config import TrainingType
from training.engine.engine import Engine
from training.errors import (
    DiskFull,
    NonFiniteGradient,
    NonFiniteLoss,
    NothingTrained,
    OutOfMemory,
    TrainingError,
)
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Finished,
    Outcome,
    Progress,
    Resumed,
    WarningRaised,
)
from training.files import damage
from training.libraries import memory_failures_named
from training.scores import Scores

MakeJob = Callable[..., Path]

STEPWISE = {
    "epochs": 1,
    "shuffle": False,
    "validation_split": 0.0,
    "scheduler": "CONSTANT",
}
"""Twelve rows in their order, three steps of four."""


@pytest.fixture
def untied(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """Makes a model with a head of its own, its weights changed by a function."""

    def make(change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
        base = load_base(str(tiny_model), torch.float32)
        weights = {name: each.clone() for name, each in base.state_dict().items()}
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        change(weights)
        base.config.tie_word_embeddings = False
        folder = tmp_path / "untied"
        base.save_pretrained(folder)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        load_tokenizer(str(tiny_model)).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def without_tilde(untied: Callable[..., Path], tiny_model: Path) -> Path:
    """A model for which a tilde is not a number."""
    (tilde,) = load_tokenizer(str(tiny_model))("~", add_special_tokens=False)["input_ids"]

    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["model.embed_tokens.weight"][tilde] = float("nan")

    return untied(change)


def with_tilde_in(line: int) -> list[dict[str, str]]:
    rows = qa_rows(12)
    rows[line - 1]["question"] = "~" + rows[line - 1]["question"][1:]
    return rows


def test_a_spoilt_record_is_named_and_the_last_good_step_is_saved(
    make_job: MakeJob, without_tilde: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "CPU_TOKENS", 80)  # two rows a micro-batch
    job = make_job(rows=with_tilde_in(10), model=without_tilde, **STEPWISE)
    with pytest.raises(NonFiniteLoss, match="became nan in epoch 1 at step 3") as raised:
        run_here(job)
    _, _, named = raised.value.message.rstrip(".").partition("in the micro-batch of the records ")
    lines = [int(line) for line in named.split(", ")]
    assert 10 in lines
    assert len(lines) == 2
    found = read_events(job)
    assert [event.step for event in of_kind(found, CheckpointSaved)] == [2]
    assert all(math.isfinite(event.loss) for event in of_kind(found, Progress))
    assert damage(job / "checkpoints" / "epoch-001-step-000002") is None

    whole = make_job("whole", model=without_tilde, **STEPWISE)
    run_here(whole)
    shutil.copyfile(whole / "data.jsonl", job / "data.jsonl")  # the record is mended
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [2]
    assert difference(whole, job) == 0.0


def test_weights_that_are_spoilt_themselves_are_not_saved(
    make_job: MakeJob, without_tilde: Path
) -> None:
    choices = STEPWISE | {"training_type": TrainingType.FULL}  # trains the broken embedding
    job = make_job(rows=with_tilde_in(10), model=without_tilde, **choices)
    with pytest.raises(NonFiniteLoss, match="at step 3"):
        run_here(job)
    assert list((job / "checkpoints").iterdir()) == []


def spoil_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    collect, calls = Engine.collect, itertools.count(1)

    def collect_nan(engine: Engine) -> None:
        collect(engine)
        if next(calls) == 3:
            next(iter(engine.weights.masters.values())).grad[0, 0] = math.nan

    monkeypatch.setattr(Engine, "collect", collect_nan)


def spoil_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    backward, calls = Engine.backward, itertools.count(1)

    def backward_without_memory(engine: Engine, *packs: object, **options: object) -> Scores:
        if next(calls) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 123 bytes")
        return backward(engine, *packs, **options)

    monkeypatch.setattr(Engine, "backward", backward_without_memory)


FAILURES = [
    (spoil_a_gradient, NonFiniteGradient, "nan in epoch 1 at step 3, .* records 9, 10, 11, 12"),
    (spoil_the_memory, OutOfMemory, "tried 123 bytes"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), FAILURES)
def test_a_run_that_fails_at_a_step_goes_on_from_the_one_before(
    make_job: MakeJob,
    spoil: Callable[[pytest.MonkeyPatch], None],
    error: type[TrainingError],
    message: str,
) -> None:
    whole, job = make_job("whole", **STEPWISE), make_job("failed", **STEPWISE)
    run_here(whole)
    with pytest.MonkeyPatch.context() as spoilt:
        spoil(spoilt)
        with pytest.raises(error, match=message):
            run_here(job)
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [2]
    assert difference(whole, job) == 0.0


@pytest.mark.parametrize(("spoil", "error", "message"), FAILURES)
def test_a_step_that_cannot_be_saved_does_not_hide_why_the_run_failed(
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None],
    error: type[TrainingError],
    message: str,
) -> None:
    def no_room(_store: CheckpointStore, *_arguments: object) -> int:
        raise DiskFull(Path("checkpoints"))

    spoil(monkeypatch)
    monkeypatch.setattr(CheckpointStore, "save", no_room)
    with pytest.raises(error, match=message) as raised:
        run_here(make_job(**STEPWISE))
    assert raised.value.__notes__ == [
        "Nor could the last good step be saved: The disk is full: checkpoints could not be "
        "written. Older checkpoints are intact."
    ]


def test_a_first_gradient_of_zero_fails_the_run_by_name(
    make_job: MakeJob, untied: Callable[..., Path]
) -> None:
    model = untied(lambda weights: weights["lm_head.weight"].zero_())
    job = make_job(model=model)
    with pytest.raises(NothingTrained, match="the gradient of the first step is zero"):
        run_here(job)
    assert list((job / "checkpoints").iterdir()) == []


def test_weights_that_an_epoch_left_unchanged_fail_the_run_by_name(make_job: MakeJob) -> None:
    job = make_job(training_type=TrainingType.FULL, learning_rate=1e-60)  # zero in fp32
    with pytest.raises(NothingTrained, match="no weight moved in 3 steps"):
        run_here(job)
    assert of_kind(read_events(job), EpochCompleted) == []
    assert list((job / "checkpoints").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system of its own can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_fails_the_run_and_space_lets_it_go_on(
    make_job: MakeJob, tiny_model: Path, small_disk: Path
) -> None:
    whole, job = make_job("whole"), write_job(small_disk / "job", tiny_model, qa_rows(12))
    run_here(whole)
    assert left(start_forked(job, hold_tokens, 1024)) == 0
    end = read_events(job)[-1]
    assert isinstance(end, Finished)
    assert end.error is not None
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "DISK_FULL")
    assert "epoch-002-step-000006 could not be written" in end.error.message
    (older,) = (job / "checkpoints").iterdir()
    assert (older.name, damage(older)) == ("epoch-001-step-000003", None)

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [3]
    assert difference(whole, job) == 0.0


def test_a_writer_without_space_fails_the_run_too(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, job = make_job("whole"), make_job("full")
    run_here(whole)
    save, calls = checkpoints.save_file, itertools.count(1)

    def save_without_space(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
        if next(calls) == 4:  # the optimizer of the second checkpoint
            path.write_bytes(b"half of it")
            raise SafetensorError(f"No space left on device (os error {errno.ENOSPC})")
        save(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", save_without_space)
    with pytest.raises(DiskFull, match="epoch-002-step-000006"):
        run_here(job)
    (older,) = (job / "checkpoints").iterdir()
    assert (older.name, damage(older)) == ("epoch-001-step-000003", None)
    assert run_here(job).outcome is Outcome.COMPLETED
    assert difference(whole, job) == 0.0


def lack_memory() -> None:
    """Refuse memory to the first gradient, as a process beside it would that lets it go again."""
    backward = Engine.backward
    _, hard = resource.getrlimit(resource.RLIMIT_AS)

    def scarcely(engine: Engine, *packs: object, **options: object) -> Scores:
        backward(engine, *packs, **options)  # once with enough, since oneDNN never gets over a
        engine.discard()  # kernel that it lacked the memory to make
        Engine.backward = backward
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**20, hard))
        try:
            return backward(engine, *packs, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))

    ctypes.CDLL(None).mallopt(-3, 2**17)  # M_MMAP_THRESHOLD: tensors that are freed are given back
    hold_tokens(4096)
    Engine.backward = scarcely


@pytest.mark.slow
def test_memory_that_is_refused_halves_what_is_held_and_nothing_else(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"question": f"What is {n}?", "answer": "one two three " * 30 + f"{n}."} for n in range(36)
    ]
    choices = {"rows": rows, "batch_size": 16, "gradient_accumulation_steps": 2, "epochs": 1}
    other, job = make_job("small", **choices), make_job("scarce", **choices)
    assert left(start_forked(job, lack_memory)) == 0
    found = read_events(job)
    assert isinstance(found[-1], Finished)
    assert found[-1].outcome is Outcome.COMPLETED
    (halved,) = of_kind(found, WarningRaised)
    assert halved.code == "TOKEN_BUDGET_HALVED"
    assert "can't allocate memory: you tried to allocate" in halved.message
    assert "From here on 2048 tokens are held at once" in halved.message
    monkeypatch.setattr(preparation, "CPU_TOKENS", 2048)
    run_here(other)
    assert difference(other, job) == 0.0
    assert losses(other) == losses(job)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("could not create a primitive"),  # oneDNN, with a bf16 matrix to multiply
    ],
)
def test_the_ways_in_which_memory_runs_out_have_one_name(error: Exception) -> None:
    with pytest.raises(OutOfMemory, match=r"ran out of memory: .*(room|memory|primitive)"):
        with memory_failures_named():
            raise error
    with pytest.raises(RuntimeError, match="shapes"), memory_failures_named():
        raise RuntimeError("the shapes do not match")


def losses(job: Path) -> list[str]:
    epochs = of_kind(read_events(job), EpochCompleted)
    return [repr((event.training_loss, event.validation_loss)) for event in epochs]


def work_slowly(seconds: float) -> None:
    """Make each micro-batch, of two or three rows, last so much longer."""
    backward = Engine.backward

    def slow(engine: Engine, *packs: object, **options: object) -> Scores:
        time.sleep(seconds)
        return backward(engine, *packs, **options)

    hold_tokens(100)
    Engine.backward = slow


@pytest.mark.slow
def test_a_stop_amid_a_long_step_is_answered_at_once_and_loses_no_step(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "CPU_TOKENS", 100)
    choices = {"rows": qa_rows(90), "batch_size": 36, "epochs": 2, "lora_dropout": 0.1}
    whole, job = make_job("whole", **choices), make_job("stopped", **choices)
    run_here(whole)
    child = start_forked(job, work_slowly, 0.2)  # a step takes three seconds and more
    wait_for(job, lambda found: any(amid_second_step(event) for event in of_kind(found, Progress)))
    asked = time.monotonic()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGTERM)
    assert left(child) == 0
    assert time.monotonic() - asked < 2.0
    found = read_events(job)
    assert [event.step for event in of_kind(found, CheckpointSaved)] == [1]
    assert isinstance(found[-1], Finished)
    assert found[-1].outcome is Outcome.CANCELLED
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [1]
    assert difference(whole, job) == 0.0


def amid_second_step(event: Progress) -> bool:
    share = event.progress * event.total_steps / 100
    return 1.0 < share < 1.5
