"""The writer of `events.jsonl`, and its memory of what former attempts already said."""

import os
import threading
from pathlib import Path
from typing import Final

from training import events
from training.events import (
    CheckpointSaved,
    Event,
    Finished,
    Outcome,
    SamplesGenerated,
    StartedFrom,
    StoppedEarly,
)
from training.files import disk_full_named

_IN_PASSING: Final = (b'"kind":"Progress"', b'"kind":"DataProgress"')


class EventLog:
    """Appends events, one whole line each, from any thread.

    A last line that a killed writer left torn is cut off on opening, so that the file is always a
    sequence of whole events. With `only_the_end` everything but a run's last word is left unsaid.
    """

    def __init__(self, path: Path, *, only_the_end: bool = False) -> None:
        self._only_the_end = only_the_end
        self._path = path
        self._lock = threading.Lock()
        self._file = path.open("a+b")
        self._truncate_torn_line()
        self._file.seek(0)
        self.former = tuple(
            events.parse(line)
            for line in self._file
            if not any(kind in line for kind in _IN_PASSING)
        )
        """What former attempts wrote, in order; progress, of which there may be much, left out."""

    def emit(self, event: Event) -> None:
        """Append an event; those that promise a file or an end are on disk before this returns."""
        if self._only_the_end and not isinstance(event, Finished):
            return
        with self._lock, disk_full_named(self._path):
            self._file.write(events.serialise(event))
            self._file.flush()
            if isinstance(event, CheckpointSaved | Finished):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._file.close()

    def announced_checkpoints(self) -> set[str]:
        """Names that former attempts announced and did not announce as removed."""
        names: set[str] = set()
        for event in self.former:
            if isinstance(event, CheckpointSaved):
                names.add(event.name)
                names.difference_update(event.removed)
        return names

    def has_completed(self) -> bool:
        """Whether a former attempt reached the end, with nothing left to do."""
        return any(
            isinstance(event, Finished) and event.outcome is Outcome.COMPLETED
            for event in self.former
        )

    def has_told_start(self) -> bool:
        """Whether a former attempt told what the run starts from."""
        return any(isinstance(event, StartedFrom) for event in self.former)

    def has_said_early_stop(self) -> bool:
        """Whether a former attempt announced that it stopped early."""
        return any(isinstance(event, StoppedEarly) for event in self.former)

    def has_sampled(self, stage: str) -> bool:
        """Whether a former attempt answered the sample prompts at this stage."""
        samples = [event for event in self.former if isinstance(event, SamplesGenerated)]
        return any(event.stage == stage for event in samples)

    def _truncate_torn_line(self) -> None:
        self._file.seek(0)
        whole = sum(len(line) for line in self._file if line.endswith(b"\n"))
        self._file.truncate(whole)
