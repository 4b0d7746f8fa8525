"""A training child that ends itself by SIGKILL, at a moment of the test's choosing."""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

from training import events
from training.event_log import EventLog
from training.events import CheckpointSaved, EpochCompleted, Event

_ASKS: Final = frozenset(
    ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
)
"""What Python tells its audit hooks of; a folder that is removed names its files without their folder,
and so does not count each."""


class Moment(Enum):
    """What a child was about to do when it was killed."""

    COMPUTE = auto()
    """The gradient of a micro-batch."""
    SYNC = auto()
    """Make a file or folder durable."""
    NAME = auto()
    """Give a folder that is whole its name."""
    DELETE = auto()
    """Delete a checkpoint that has lost its name already."""
    ANNOUNCE = auto()
    """Tell of a checkpoint that is saved."""
    TELL_EPOCH = auto()
    """Write the second half of an epoch's event."""


def kill_at(moment: Moment, count: int) -> None:
    """Kill this process when a moment comes for the `count`th time."""
    from training import event_log, files  # and what imports torch: the child has it already
    from training.engine.engine import Engine

    match moment:
        case Moment.COMPUTE:
            _hook(Engine, "backward", count)
        case Moment.SYNC:
            _hook(files.os, "fsync", count)
        case Moment.NAME:
            _hook(Path, "rename", count, counts=lambda path, _to: path.name.endswith(".partial"))
        case Moment.DELETE:
            _hook(files.shutil, "rmtree", count, counts=lambda path, **_options: path.exists())
        case Moment.ANNOUNCE:
            _hook(event_log.EventLog, "emit", count, counts=_announces)
        case Moment.TELL_EPOCH:
            _hook(event_log.EventLog, "emit", count, counts=_tells_an_epoch, last=_write_half)


def kill_at_call(folder: Path, count: int) -> None:
    """Kill this process when it is about to ask the system for the `count`th time to open, make,
    name, or delete something below a folder."""
    calls, below = itertools.count(1), f"{folder}/"

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        asks = event in _ASKS and any(below in str(argument) for argument in arguments)
        if asks and next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _announces(_log: EventLog, event: Event) -> bool:
    return isinstance(event, CheckpointSaved)


def _tells_an_epoch(_log: EventLog, event: Event) -> bool:
    return isinstance(event, EpochCompleted)


def _write_half(log: EventLog, event: Event) -> None:
    line = events.serialise(event)
    log._file.write(line[: len(line) // 2])
    log._file.flush()


def _hook(
    owner: object,
    name: str,
    count: int,
    *,
    counts: Callable[..., bool] = lambda *_arguments, **_options: True,
    last: Callable[..., None] = lambda *_arguments, **_options: None,
) -> None:
    """Kill this process, after a `last` act, at the `count`th call of a function that `counts`."""
    original = getattr(owner, name)
    calls = itertools.count(1)

    def hooked(*arguments: object, **options: object) -> object:
        if counts(*arguments, **options) and next(calls) == count:
            last(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, hooked)
