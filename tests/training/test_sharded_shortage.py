"""Memory that one process is refused amid the passes that all make together."""

import ctypes
import itertools
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.training.jobs import losses, of_kind, read_events, run_here
from tests.training.ranks import BOUND, launch_ranks
from training.config import Sharding
from training.devices import hardware
from training.engine import making
from training.engine.engine import Engine
from training.engine.packs import Pack
from training.events import (
    CheckpointSaved,
    EngineChosen,
    Finished,
    Outcome,
    Resumed,
    WarningRaised,
)
from training.scores import Scores

MakeJob = Callable[..., Path]

pytestmark = pytest.mark.slow

TOKENS = 1024
FIRST_EPOCH = 2
"""Its passes, in each process, of `TOKENS` tokens at most."""

LONG = {
    "rows": [
        {"question": f"What is {n}?", "answer": "one two three " * 30 + f"{n}."} for n in range(20)
    ],
    "batch_size": 8,
    "lora_dropout": 0.0,
    "sharding": Sharding.FULL,
}


def test_all_start_again_with_half_as_much_from_the_newest_checkpoint(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: False)
    one, two = make_job("one", **LONG), make_job("two", **LONG)
    run_here(one)
    assert launch_ranks(two, 2, lack_memory, monkeypatch=monkeypatch) == 0
    found = read_events(two)
    assert [event.outcome for event in of_kind(found, Finished)] == [Outcome.COMPLETED]
    (halved,) = of_kind(found, WarningRaised)
    assert halved.code == "TOKEN_BUDGET_HALVED"
    assert "can't allocate memory: you tried to allocate" in halved.message
    assert halved.message.endswith(
        "All processes start again, go on from the newest checkpoint, and hold 512 tokens at "
        "once; each step still sees the same examples."
    )
    assert [event.token_budget for event in of_kind(found, EngineChosen)] == [TOKENS, TOKENS // 2]
    (resumed,) = of_kind(found, Resumed)
    saved = of_kind(found, CheckpointSaved)
    assert [(each.name, each.epoch) for each in saved] == [
        (resumed.checkpoint, 1),
        (saved[1].name, 2),
    ]
    assert losses(two) == pytest.approx(losses(one), rel=BOUND)


def lack_memory(rank: int) -> None:
    """Refuse memory to one process in the second epoch, for as long as it holds so much at once."""
    making.CPU_TOKENS = TOKENS  # type: ignore[misc]
    backward, passes = Engine.backward, itertools.count(1)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)

    def scarcely(engine: Engine, packs: Sequence[Pack], **options: Any) -> Scores:
        if engine.budget < TOKENS or next(passes) <= FIRST_EPOCH:
            return backward(engine, packs, **options)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**20, hard))
        try:
            return backward(engine, packs, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))

    if rank == 1:
        ctypes.CDLL(None).mallopt(-3, 2**17)  # M_MMAP_THRESHOLD: what is freed is given back
        Engine.backward = scarcely


def test_a_shortage_that_no_division_mends_is_told_by_name(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(**LONG | {"batch_size": 4})
    assert launch_ranks(job, 2, refuse_memory, monkeypatch=monkeypatch) == 0
    found = read_events(job)
    assert [event.token_budget for event in of_kind(found, EngineChosen)] == [512, 256]
    (end,) = of_kind(found, Finished)
    assert end.error is not None
    assert end.error.code == "OUT_OF_MEMORY"
    assert end.error.message.startswith(
        "In process 1 of 2: The machine ran out of memory: DefaultCPUAllocator: can't allocate"
    )
    assert of_kind(found, CheckpointSaved) == []


def refuse_memory(rank: int) -> None:
    making.CPU_TOKENS = 512  # type: ignore[misc]  # a row has more than 128
    if rank == 1:
        Engine.backward = _refuse


def _refuse(_engine: Engine, *_packs: object, **_options: object) -> Scores:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 123 bytes")
