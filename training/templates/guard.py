"""A limit to the time that Python code of somebody else's may take."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["TookTooLong", "time_limited"]


class TookTooLong(Exception):
    """The code in the block was stopped."""


@contextmanager
def time_limited(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` in the block once the process has computed for so long, waits not counted.

    A signal does it, which Python delivers to the main thread alone: in another one there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
