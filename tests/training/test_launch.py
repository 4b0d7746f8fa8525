"""A process for each device: started together, stopped together, and one end told for all."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.processes import is_alive
from tests.training.jobs import read_events, token_note
from training.devices import launch as launching
from training.devices.launch import launch
from training.devices.ranks import ALONE, Place, place_in
from training.devices.token_budget import Note
from training.events import Finished, Outcome, WarningRaised, serialise
from training.locking import EXIT_BUSY

SCRIPTED = ("-m", "tests.training.scripted_rank")
ROOT = Path(__file__).parents[2]

Script = list[list[Any]]

WORD = ["word", "NON_FINITE_LOSS", "The loss became nan."]
LOST_TOUCH = ["word", "INTERNAL", "RuntimeError: Connection closed by peer"]
FAIL = ["exit", 1]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_SECONDS", 0.5)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def play(job: Path, *scripts: Script, stop: threading.Event | None = None) -> int:
    (job / "script.json").write_text(json.dumps(scripts))
    asked = stop or threading.Event()
    code = launch(job, len(scripts), should_stop=asked.is_set, program=SCRIPTED)
    assert [is_alive(int((job / f"pid-{rank}").read_text())) for rank in range(len(scripts))] == (
        [False] * len(scripts)
    )
    return code


def ends(job: Path) -> Sequence[tuple[str, str]]:
    """Code and message of each end that was told."""
    if not (job / "events.jsonl").exists():
        return []
    found = [event for event in read_events(job) if isinstance(event, Finished)]
    return [(event.error.code, event.error.message) for event in found if event.error]


def test_a_failure_in_one_process_ends_the_others_and_is_told_with_its_place(
    tmp_path: Path,
) -> None:
    assert play(tmp_path, [["hang"]], [WORD, FAIL]) == 0
    assert ends(tmp_path) == [("NON_FINITE_LOSS", "In process 1 of 2: The loss became nan.")]


def test_a_failure_is_not_hidden_by_those_who_lost_touch_through_it(tmp_path: Path) -> None:
    assert play(tmp_path, [LOST_TOUCH, FAIL], [["hang"]], [WORD, FAIL]) == 0
    assert ends(tmp_path) == [("NON_FINITE_LOSS", "In process 2 of 3: The loss became nan.")]


def test_a_failure_that_all_met_is_told_as_the_runs(tmp_path: Path) -> None:
    assert play(tmp_path, [WORD, FAIL], [WORD, FAIL]) == 0
    assert ends(tmp_path) == [("NON_FINITE_LOSS", "The loss became nan.")]


def test_an_unforeseen_failure_is_told_and_is_a_crash(tmp_path: Path) -> None:
    word = ["word", "INTERNAL", "KeyError: 'x'"]
    assert play(tmp_path, [["hang"]], [word, FAIL]) == 1
    assert ends(tmp_path) == [("INTERNAL", "In process 1 of 2: KeyError: 'x'")]


def test_a_killed_process_takes_the_others_along_and_the_run_may_be_tried_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed = [["kill", signal.SIGKILL]]
    assert play(tmp_path, [LOST_TOUCH, FAIL], killed, [["hang"]]) == 128 + signal.SIGKILL
    assert ends(tmp_path) == []
    assert "Process 1 of 3 ended with signal 9." in capfd.readouterr().err


def test_words_of_a_former_attempt_are_forgotten(tmp_path: Path) -> None:
    assert play(tmp_path, [["hang"]], [WORD, FAIL]) == 0
    assert play(tmp_path, [["hang"]], [["exit", 3]]) == 1
    assert len(ends(tmp_path)) == 1


def test_a_request_to_stop_reaches_every_process(tmp_path: Path) -> None:
    end = serialise(Finished(outcome=Outcome.CANCELLED)).decode()
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    assert play(tmp_path, [["wait"], ["event", end]], [["wait"]], stop=stop) == 0
    assert time.monotonic() - started >= 1.0
    assert [event.outcome for event in read_events(tmp_path) if isinstance(event, Finished)] == [
        Outcome.CANCELLED
    ]


def test_nothing_starts_again_that_was_asked_to_stop(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    asking = [["wait"], ["ask", 512], FAIL]
    assert play(tmp_path, [["hang"]], asking, stop=stop) == 0
    told, end = read_events(tmp_path)
    assert isinstance(told, WarningRaised)
    assert told.code == "TOKEN_BUDGET_HALVED"
    assert isinstance(end, Finished)
    assert end.outcome is Outcome.CANCELLED
    assert token_note(tmp_path) == Note(tokens=512, is_least=False, limit=512)


def test_orphans_leave_as_if_asked_to_stop(tmp_path: Path) -> None:
    end = serialise(Finished(outcome=Outcome.CANCELLED)).decode()
    (tmp_path / "script.json").write_text(json.dumps([[["wait"], ["event", end]], [["wait"]]]))
    program = (
        "import sys; from pathlib import Path; from training.devices.launch import launch\n"
        f"launch(Path(sys.argv[1]), 2, should_stop=lambda: False, program={SCRIPTED!r})"
    )
    launcher = subprocess.Popen([sys.executable, "-P", "-c", program, str(tmp_path)])
    pids = [eventually_read(tmp_path / f"pid-{rank}") for rank in range(2)]
    assert [is_alive(pid) for pid in pids] == [True, True]
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (told,) = read_events(tmp_path)
    assert isinstance(told, Finished)
    assert told.outcome is Outcome.CANCELLED


def eventually_read(path: Path) -> int:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def test_the_others_may_leave_before_the_leader_but_not_stay_after_it(tmp_path: Path) -> None:
    assert play(tmp_path, [["exit", 0]], [["hang"]]) == 0
    assert play(tmp_path, [["exit", EXIT_BUSY]], [["hang"]]) == EXIT_BUSY
    waited = [["exit", 0]]
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    started = time.monotonic()
    assert play(tmp_path, [["wait"]], waited, stop=stop) == 0
    assert time.monotonic() - started >= 1.5
    assert ends(tmp_path) == []


def test_the_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("MASTER_ADDR", "elsewhere")
    environment = launching._environment(Place(1, 2, 1, 2))
    assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("2", "2")
    assert "MASTER_ADDR" not in environment
    assert place_in(environment) == Place(1, 2, 1, 2)
    assert place_in({}) == ALONE
    assert os.environ["OMP_NUM_THREADS"] == "5"
