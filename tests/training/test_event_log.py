"""The event file survives its writer."""

import threading
from pathlib import Path

from training import events
from training.event_log import EventLog
from training.events import CheckpointSaved, Phase, PhaseStarted, Progress


def saved(name: str, *removed: str) -> CheckpointSaved:
    return CheckpointSaved(
        name=name,
        epoch=1,
        step=1,
        validation_loss=None,
        validation_accuracy=None,
        size_bytes=1,
        best=True,
        removed=removed,
    )


def test_a_torn_last_line_is_cut_off_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = events.serialise(PhaseStarted(phase=Phase.PREPARING))
    path.write_bytes(whole + b'{"kind":"PhaseSta')
    log = EventLog(path)
    log.emit(PhaseStarted(phase=Phase.TRAINING))
    log.close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[0] == whole
    assert [events.parse(line).kind for line in lines] == ["PhaseStarted", "PhaseStarted"]
    assert len(log.former) == 1


def test_a_file_that_is_only_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind":')
    EventLog(path).close()
    assert path.read_bytes() == b""


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)

    def write() -> None:
        for _ in range(100):
            log.emit(PhaseStarted(phase=Phase.TRAINING))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len([events.parse(line) for line in path.read_bytes().splitlines()]) == 400


def test_a_log_knows_which_checkpoints_were_announced(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for event in (saved("a"), saved("b"), saved("c", "a")):
        log.emit(event)
    log.close()
    again = EventLog(path)
    assert again.announced_checkpoints() == {"b", "c"}
    assert not again.has_completed()
    again.close()


def test_former_progress_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.emit(
        Progress(
            progress=1,
            epoch=1,
            total_epochs=1,
            step=1,
            total_steps=2,
            loss=1,
            accuracy=0,
            learning_rate=1,
            gradient_norm=None,
            tokens_per_second=1,
            estimated_time_remaining=None,
        )
    )
    log.close()
    again = EventLog(path)
    again.close()
    assert again.former == ()
