"""Leaving in order: work that is asked to stop ends at a place of its own choosing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["until_left"]


async def until_left(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `work` to its own end; cancelling this only sets the event that `work` is given.

    So no cancellation breaks into what `work` is writing, wherever it stands. The cancellation is
    raised once `work` has ended; a second one breaks in.
    """
    leaving = asyncio.Event()
    task = asyncio.create_task(work(leaving))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        leaving.set()
        await task
        raise
