"""Running a job in several processes in tests, without each paying for its imports."""

import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import pytest
import torch

from training import run
from training.devices import hardware
from training.devices import launch as launching
from training.devices.ranks import Place, clear
from training.devices.world import World, joined
from training.engine import making
from training.memory import accounting

_CONTEXT: Final = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.training.ranks", "training.pipeline"])

Sabotage = Callable[[int], None]

BOUND = 1e-6
"""Of losses beside those of one process, relative, in fp32; the largest measured is 1.2e-7. Sums over
tokens are taken in another order."""

FEW_TOKENS = 96
"""So small a budget that a step takes several turns."""


def run_ranks(
    job: Path, size: int, sabotage: Sabotage | None = None, *, estimated: bool = False
) -> list[int | None]:
    """Run a job in `size` processes, in fp32; their exit codes by rank.

    They are forked from a process that has imported all they need. `sabotage` is called in each
    with its rank before it starts. For `estimated` see `tests.training.jobs.run_here`.
    """
    clear(job)
    return _in_each(size, _run_rank, job, sabotage, estimated)


def launch_ranks(
    job: Path, size: int, sabotage: Sabotage, *, monkeypatch: pytest.MonkeyPatch
) -> int:
    """Run a job as the launcher does, but for processes forked as above; its exit code."""

    def start(job: Path, place: Place, _program: object) -> Forked:
        return Forked(place, job, sabotage, False)

    monkeypatch.setattr(launching, "_start", start)
    return launching.launch(job, size, should_stop=lambda: False)


class Forked:
    """A forked process as a launcher sees one that it started."""

    def __init__(self, *arguments: object) -> None:
        self._process = _CONTEXT.Process(target=_run_rank, args=arguments)
        self._process.start()
        self.terminate, self.kill = self._process.terminate, self._process.kill
        self.communicate = self._process.join

    def poll(self) -> int | None:
        """The exit code, once there is one."""
        return self._process.exitcode


def run_worlds(folder: Path, size: int, check: Callable[[World], None]) -> list[int | None]:
    """Call `check` in `size` processes that have joined; exit code 0 where it raised nothing."""
    clear(folder)
    return _in_each(size, _check_world, folder, check)


def _in_each(size: int, target: Callable[..., None], *arguments: object) -> list[int | None]:
    processes = [
        _CONTEXT.Process(target=target, args=(Place(rank, size, rank, size), *arguments))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _run_rank(place: Place, job: Path, sabotage: Sabotage | None, estimated: bool) -> None:
    torch.set_num_threads(1)
    hardware._cpu_has_bfloat16 = lambda: False
    making.CPU_TOKENS = FEW_TOKENS  # type: ignore[misc]
    os.environ.update(place.environment())
    if not estimated:
        accounting.memory_estimate = lambda *_: None  # type: ignore[assignment]
    if sabotage is not None:
        sabotage(place.rank)
    raise SystemExit(run.main([str(job)]))


def _check_world(place: Place, folder: Path, check: Callable[[World], None]) -> None:
    with joined(place, folder) as world:
        check(world)
