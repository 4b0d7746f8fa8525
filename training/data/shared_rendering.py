"""Batches of records made into columns by several processes, and handed on in the records' order.

The processes are forked from the one that reads and writes: they begin at once, with its tokenizer and
the words it knows, and most of their memory is shared with it. Which process made what cannot be told
from the result.
"""

import gc
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Final, NamedTuple, TypeAlias

from training.data.encoding import leave_out_threads
from training.data.token_file import Columns

__all__ = ["Batch", "NumberedLines", "in_order"]

NumberedLines: TypeAlias = list[tuple[int, bytes]]
"""Records as they lie in their file, by their lines."""
Work: TypeAlias = Callable[[NumberedLines], Columns]

_ALONE_BYTES: Final = 512 * 1024
"""Of records that are rendered before the first fork: an eighth of a second's work, in which this process
meets the commonest words. Whoever has fewer needs no help."""
_LONG_BYTES: Final = 256 * 1024
"""A longer batch, which is one record, is rendered by this process, so that no more than one is at once:
a tokenizer needs some hundred bytes for each of these."""
_MOST: Final = 3
"""Processes, for the memory of them all."""
_AHEAD: Final = 3
"""Batches for each process that are asked for and not yet handed on."""

_CAN_FORK: Final = sys.platform == "linux"
"""On macOS a system library may end a process that was forked and goes on."""

_logger: Final = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Records that are rendered together."""

    lines: NumberedLines
    size_bytes: int
    position: int
    """Where in the file its last record ends, or the last one that was passed over."""


def in_order(
    batches: Iterator[Batch], work: Work, *, processes: int
) -> Generator[tuple[Batch, Columns], None, None]:
    """Each batch with what `work` makes of it, by at most so many processes beside this one.

    Raises what `work` raises, for the first batch of which it does.
    """
    alone_bytes = 0
    for batch in batches:
        yield batch, work(batch.lines)
        alone_bytes += batch.size_bytes
        if alone_bytes >= _ALONE_BYTES and processes > 1 and _CAN_FORK:
            yield from _shared(batches, work, min(processes, _MOST))


def _shared(
    batches: Iterator[Batch], work: Work, processes: int
) -> Iterator[tuple[Batch, Columns]]:
    asked: deque[tuple[Batch, Future[Columns] | None]] = deque()
    with _pool(processes, work) as pool:
        for batch in batches:
            asked.append((batch, _asked(pool, batch)))
            if len(asked) > _AHEAD * processes:
                yield _answered(*asked.popleft(), work)
        while asked:
            yield _answered(*asked.popleft(), work)


@contextmanager
def _pool(processes: int, work: Work) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(processes, get_context("fork"), initializer=_begin, initargs=(work,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _asked(pool: ProcessPoolExecutor, batch: Batch) -> Future[Columns] | None:
    """None for what this process is to do itself, in its turn."""
    if not batch.lines or batch.size_bytes > _LONG_BYTES:
        return None
    try:
        return pool.submit(_do, batch.lines)
    except (BrokenProcessPool, OSError):  # one was lost, or the system allows no more
        return None


def _answered(batch: Batch, answer: Future[Columns] | None, work: Work) -> tuple[Batch, Columns]:
    """What failed elsewhere is done again here: it fails here, too, in its own words, or it does not
    where a process was lost."""
    if answer is None:
        return batch, work(batch.lines)
    error = answer.exception()
    if error is None:
        return batch, answer.result()
    if isinstance(error, BrokenProcessPool):
        _logger.warning("A process that renders records was lost; this one goes on without.")
    return batch, work(batch.lines)


_works: Final[list[Work]] = []
"""Of a forked process, the one thing it does: what comes to it later is pickled, and this cannot be."""


def _begin(work: Work) -> None:
    """Set a forked process up."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # its parent may take them as requests
    gc.freeze()  # what is never looked at stays shared
    leave_out_threads()
    Thread(target=_leave_with_parent, daemon=True).start()
    _works.append(work)


def _do(lines: NumberedLines) -> Columns:
    return _works[-1](lines)


def _leave_with_parent() -> None:
    """End this process when its parent ends, whatever it is doing.

    Each process holds open what those before it watch, so that they leave from the last to the first.
    """
    parent = parent_process()
    assert parent is not None  # noqa: S101 - it was forked by one
    parent.join()
    os._exit(1)
