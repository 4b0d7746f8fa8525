"""Full disks and too little memory in whole runs."""

import ctypes
import errno
import itertools
import os
import resource
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tests.training.forked import call_forked, hold_tokens, left, start_forked
from tests.training.jobs import (
    of_kind,
    qa_rows,
    read_events,
    run_here,
    token_note,
    whole_events,
    write_job,
)
from tests.training.killing import Moment, kill_at
from tests.training.weights import difference
from training.devices import token_budget
from training.devices.token_budget import Bid, Note, TokenBudget
from training.engine import making as engines
from training.engine.engine import Engine
from training.engine.lanes import Lanes
from training.errors import DiskFull, OutOfMemory
from training.events import EpochCompleted, Finished, Outcome, Resumed, WarningRaised
from training.files import damage
from training.libraries import memory_failures_named, refuse_slow_products
from training.scores import Scores
from training.steps import checkpoints

MakeJob = Callable[..., Path]


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
    hold_tokens(8192)  # a pass takes more than malloc has reserved for other threads
    Engine.backward = scarcely


@pytest.mark.slow
def test_memory_that_is_refused_halves_what_is_held_and_nothing_else(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"question": f"What is {n}?", "answer": "one two three " * 30 + f"{n}."} for n in range(72)
    ]
    choices = {"rows": rows, "batch_size": 32, "gradient_accumulation_steps": 2, "epochs": 1}
    other, job = make_job("small", **choices), make_job("scarce", **choices)
    assert left(start_forked(job, lack_memory)) == 0
    found = read_events(job)
    assert isinstance(found[-1], Finished)
    assert found[-1].outcome is Outcome.COMPLETED
    (halved,) = of_kind(found, WarningRaised)
    assert halved.code == "TOKEN_BUDGET_HALVED"
    assert "can't allocate memory: you tried to allocate" in halved.message
    assert "From here on 4096 tokens are held at once" in halved.message
    assert token_note(job) == Note(tokens=4096, is_least=False)
    monkeypatch.setattr(engines, "CPU_TOKENS", 4096)
    run_here(other)
    assert difference(other, job) == 0.0
    assert losses(other) == losses(job)


def kill_amid_second_epoch() -> None:
    """A step of four rows has two micro-batches of 128 tokens."""
    hold_tokens(128)
    kill_at(Moment.COMPUTE, 9)


@pytest.mark.slow
def test_after_a_kill_for_lack_of_memory_a_run_goes_on_with_half_as_many_tokens(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CPU_TOKENS", 128)
    rows = [
        {"question": f"What is {n}?", "answer": "one two three " * 4 + f"{n}."} for n in range(12)
    ]
    choices = {"rows": rows, "epochs": 3, "validation_split": 0.0, "lora_dropout": 0.0}
    whole, job = make_job("whole", **choices), make_job("killed", **choices)
    run_here(whole)
    assert left(start_forked(job, kill_amid_second_epoch)) == -signal.SIGKILL
    assert token_note(job) == Note(tokens=128, is_least=False)
    assert TokenBudget(job).bid_half("The process before was ended.") is Bid.HALF
    told = len(whole_events(job))

    assert run_here(job, should_stop=lambda: len(of_kind(read_events(job), EpochCompleted)) == 2)
    (halved,) = of_kind(read_events(job)[told:], WarningRaised)
    assert (halved.code, halved.message) == (
        "TOKEN_BUDGET_HALVED",
        "The process before was ended. From here on 64 tokens are held at once, half as many as "
        "before; each step still sees the same examples.",
    )
    assert token_note(job) == Note(tokens=64, is_least=True, limit=64)
    assert TokenBudget(job).bid_half("It was ended again.") is Bid.LEAST

    told = len(read_events(job))
    assert run_here(job).outcome is Outcome.COMPLETED
    assert of_kind(read_events(job)[told:], WarningRaised) == []
    assert token_note(job) == Note(tokens=64, is_least=True, limit=64)
    ours, theirs = (of_kind(read_events(each), EpochCompleted) for each in (job, whole))
    assert {event.epoch for event in ours} == {1, 2, 3}
    for event in ours:  # the same steps, summed up in another order
        assert event.training_loss == pytest.approx(theirs[event.epoch - 1].training_loss, rel=1e-3)


@pytest.mark.parametrize(
    ("boot", "killed_since", "limit"),
    [("this", 1, 64), ("this", 0, None), ("another", 1, None)],
    ids=["a kill", "no kill", "another machine"],
)
def test_a_child_whose_worker_died_too_sees_by_the_kernels_count_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str, killed_since: int, limit: int | None
) -> None:
    budget = TokenBudget(tmp_path)
    monkeypatch.setattr(token_budget, "boot_id", lambda: "this")
    monkeypatch.setattr(token_budget, "kernel_kills", lambda: 7)
    budget.hold(128, is_least=False)
    monkeypatch.setattr(token_budget, "boot_id", lambda: boot)
    monkeypatch.setattr(token_budget, "kernel_kills", lambda: 7 + killed_since)
    note = budget.succeed()
    assert note is not None
    assert (note.limit, note.reason is not None) == (limit, limit is not None)
    assert budget.succeed() == note  # it is halved once
    budget.hold(64, is_least=False)
    budget.let_go()
    monkeypatch.setattr(token_budget, "kernel_kills", lambda: 100)
    assert budget.succeed() == Note(tokens=64, is_least=False, limit=limit)


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
    named = pytest.raises(OutOfMemory, match=r"ran out of memory: .*(room|memory|primitive)")
    with named, memory_failures_named():
        raise error
    with pytest.raises(RuntimeError, match="shapes"), memory_failures_named():
        raise RuntimeError("the shapes do not match")


NAMED, SLOW = 10, 11


def multiply_with(spare_bytes: int) -> None:
    """Exit by what becomes of a batched bf16 product, as attention's, with so much memory to spare."""
    ctypes.CDLL(None).mallopt(-3, 2**17)
    torch.set_num_threads(1)
    refuse_slow_products()
    left, right = torch.ones(8, 300, 64).bfloat16(), torch.ones(8, 64, 300).bfloat16()
    out = torch.empty(8, 300, 300).bfloat16()
    torch.bmm(left[:, :9], right[:, :, :7])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare_bytes, hard))
    try:
        with memory_failures_named():
            torch.bmm(left, right, out=out)
    except OutOfMemory:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        lanes = Lanes(1)
        lanes.renew()  # this thread would not get its kernel even now
        lanes.run(lambda _, item: torch.bmm(*item), [(left, right)])
        os._exit(NAMED if torch.backends.mkldnn.enabled else SLOW)
    os._exit(0 if torch.backends.mkldnn.enabled else SLOW)


@pytest.mark.slow
def test_a_batched_product_without_memory_for_its_kernel_is_no_slow_product_but_out_of_memory() -> (
    None
):
    codes = []
    while NAMED not in codes:
        spare_bytes = (2 + len(codes)) * 2**17
        codes.append(left(call_forked(multiply_with, spare_bytes)))
        assert codes[-1] in (
            NAMED,
            -signal.SIGSEGV,
        )  # oneDNN itself does not survive every shortage


def test_torchs_warning_that_products_become_slow_is_an_error_and_taken_back() -> None:
    text = "mkldnn_matmul failed, switching to baddbmm:could not create a primitive"
    torch.backends.mkldnn.enabled = False
    named = pytest.raises(OutOfMemory, match=f"ran out of memory: {text}\\.$")
    with warnings.catch_warnings(), named, memory_failures_named():
        warnings.resetwarnings()
        refuse_slow_products()
        warnings.warn(f"{text} (Triggered internally at somewhere:1772.)", stacklevel=1)
    assert torch.backends.mkldnn.enabled
    with pytest.raises(UserWarning, match="another"), memory_failures_named():
        raise UserWarning("another thing")


def losses(job: Path) -> list[str]:
    epochs = of_kind(read_events(job), EpochCompleted)
    return [repr((event.training_loss, event.validation_loss)) for event in epochs]
