"""A heartbeat that tells a long step from a hung one, and a pulse that is no clock."""

import time
from pathlib import Path

import pytest

from tests.jobs.stage import progress
from training.errors import DiskFull
from training.events import Progress
from training.progress import heartbeat as beating
from training.progress.heartbeat import Heartbeat
from training.progress.pulse import Pulse, PulseReader


def _told_within(seconds: float, beats: Heartbeat, told: list[Progress]) -> int:
    with beats:
        beats.measured(progress(1))
        time.sleep(seconds)
        return len(told)


def test_a_measurement_is_told_again_while_the_work_goes_on() -> None:
    told: list[Progress] = []
    assert _told_within(1.6, Heartbeat(told.append), told) >= 3
    assert {each.step for each in told} == {1}
    remaining = [each.estimated_time_remaining or 0.0 for each in told]
    assert remaining == sorted(remaining, reverse=True)


def test_a_heartbeat_falls_silent_when_nothing_advances_and_wakes_with_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beating, "PATIENCE_SECONDS", 0.6)
    told: list[Progress] = []
    with Heartbeat(told.append) as beats:
        beats.measured(progress(1))
        time.sleep(1.2)
        silent_at = len(told)
        time.sleep(0.8)
        assert len(told) == silent_at >= 1
        beats.advanced()
        time.sleep(0.6)
        assert len(told) > silent_at
        beats.measured(progress(2))
    assert told[-1].step == 2


def test_a_full_disk_silences_a_heartbeat_no_longer_than_it_is_full_and_hides_no_error() -> None:
    told: list[Progress] = []
    disk_is_full = True

    def emit(event: Progress) -> None:
        if disk_is_full:
            raise DiskFull(Path("events.jsonl"))
        told.append(event)

    def fail() -> None:
        nonlocal disk_is_full
        with Heartbeat(emit) as beats:
            beats.measured(progress(1))
            time.sleep(0.6)
            disk_is_full = False
            beats.measured(progress(2))
            time.sleep(0.6)
            disk_is_full = True
            beats.measured(progress(3))
            raise KeyError("the first error")

    with pytest.raises(KeyError, match="the first error"):
        fail()
    assert {each.step for each in told} == {2}


def test_who_takes_long_steps_is_given_ten_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beating, "PATIENCE_SECONDS", 0.1)
    told: list[Progress] = []
    with Heartbeat(told.append) as beats:
        time.sleep(0.1)  # the first step
        beats.measured(progress(1))
        time.sleep(0.85)
        assert len(told) >= 2
        time.sleep(0.75)
        after = len(told)
        time.sleep(0.6)
        assert len(told) == after


def test_a_pulse_moves_where_work_advances_and_only_there(tmp_path: Path) -> None:
    pulse, reader = Pulse(tmp_path), PulseReader(tmp_path)
    assert not reader.has_moved()
    assert pulse.never_stop() is False
    assert reader.has_moved()
    assert not reader.has_moved()
    pulse.beat()  # too soon to be worth a write
    assert not reader.has_moved()


@pytest.mark.parametrize(("share", "moves"), [(0.5, True), (0.001, False)])
def test_a_library_call_beats_by_the_processor_time_it_uses(
    tmp_path: Path, share: float, moves: bool
) -> None:
    pulse, reader = Pulse(tmp_path), PulseReader(tmp_path)
    started = time.monotonic()

    def used() -> float:
        return share * (time.monotonic() - started)

    with pulse.while_busy(used=used, look_seconds=0.05):
        time.sleep(0.3)
        assert reader.has_moved() is moves
    assert reader.has_moved() is not moves  # the end of the call is an advance, too
