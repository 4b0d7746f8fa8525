"""Micro-batches side by side on a CPU, each on threads of its own.

Many operations of a small model take less time than it takes to share them out among threads and
to wait for the last. A thread that has a micro-batch to itself waits for nobody: on two cores that
is worth a third, and much more where other processes take their turns on the same cores.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from training.engine.bounds import lane_count

T = TypeVar("T")
R = TypeVar("R")


class Lanes:
    """A fixed number of threads, each of which computes with `threads` threads of its own."""

    def __init__(self, count: int, *, threads: int = 0) -> None:
        """One lane, or `threads` of 0, computes on the calling thread as torch is set up."""
        self.count = count
        self._threads = threads
        self._pool = self._new_pool() if count > 1 and threads else None

    def renew(self) -> None:
        """Compute on other threads from now on: one in which oneDNN lacked memory for a kernel makes
        no new kernel any more, however much there is."""
        self.close()
        self._threads = self._threads or torch.get_num_threads()
        self._pool = self._new_pool()

    def run(self, work: Callable[[int, T], R], items: Iterable[T]) -> list[R]:
        """`work(place, item)` for at most `count` items at once, in their order.

        All have come to an end before the first error among them is raised.
        """
        if self._pool is None:
            return [work(place, item) for place, item in enumerate(items)]
        futures = [self._pool.submit(work, place, item) for place, item in enumerate(items)]
        errors = list(filter(None, [future.exception() for future in futures]))
        try:
            if errors:
                raise errors[0]
            return [future.result() for future in futures]
        finally:  # an error's traceback holds this frame: in a circle, all the pass held would be kept
            del futures, errors

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            self.count,
            thread_name_prefix="lane",
            initializer=torch.set_num_threads,
            initargs=(self._threads,),
        )


def make_lanes(step_tokens: float, *, threads: int) -> Lanes:
    """Lanes for steps of so many tokens, on a CPU of so many threads."""
    count = lane_count(step_tokens, threads=threads)
    return Lanes(count, threads=threads // count)
