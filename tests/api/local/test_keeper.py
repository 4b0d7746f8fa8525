"""Processes that are kept running."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from api.local import keeper as module
from api.local.keeper import Keeper, Program
from jobs.errors import Unavailable
from tests.api.local.processes import eventually
from tests.processes import is_alive


def program(tmp_path: Path, code: str, *, stop_seconds: float = 5.0) -> Program:
    return Program(
        name="The program",
        command=(sys.executable, "-c", code),
        log=tmp_path / "log",
        environment=dict(os.environ),
        stop_seconds=stop_seconds,
    )


async def test_a_program_that_keeps_dying_ends_in_an_error_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
    (tmp_path / "log").write_text("a line of yesterday\n")
    keeper = Keeper(program(tmp_path, "print('no such table'); raise SystemExit(3)"))
    await keeper.start()
    with pytest.raises(Unavailable) as caught:
        await keeper.keep()
    assert (
        caught.value.message
        == "The program died 5 times, last with exit status 3.\n  | no such table"
    )
    assert (tmp_path / "log").read_text().count("no such table") == 5


async def test_a_program_that_ignores_the_request_to_stop_is_killed_with_its_children(
    tmp_path: Path,
) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    keeper = Keeper(program(tmp_path, code, stop_seconds=0.2))
    await keeper.start()
    await eventually(lambda: bool((tmp_path / "log").read_text()))
    child = int((tmp_path / "log").read_text())
    assert is_alive(child)
    await keeper.stop()
    assert not keeper.alive
    await eventually(lambda: not is_alive(child))


async def test_a_program_that_stops_in_time_ends_its_keeping(tmp_path: Path) -> None:
    keeper = Keeper(program(tmp_path, "import time; time.sleep(60)"))
    await keeper.start()
    keeping = asyncio.create_task(keeper.keep())
    await asyncio.sleep(0)
    await keeper.stop()
    await keeping
    assert not keeper.alive
