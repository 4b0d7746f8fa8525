"""The steps of the demo as they are seen: what goes on, for how long, and what came of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from rich.console import Console

from api.cli.output import duration

__all__ = ["DemoError", "Step", "Steps"]

SECONDS_BETWEEN_SIGNS: Final = 15.0


class DemoError(Exception):
    """A step that failed: what happened, and what to do about it."""

    def __init__(self, message: str, remedy: str, log: Path | None = None) -> None:
        super().__init__(message, remedy, log)
        self.message = message
        self.remedy = remedy
        self.log = log


class Step:
    """One step under way; `outcome` is shown behind its name once it is done."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.outcome = ""


class Steps:
    """Shows one step after the other, with the time each takes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()

    @asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[Step]:
        """A spinner on a terminal, elsewhere a line every few seconds, until the block ends."""
        step = Step(title)
        began = time.monotonic()
        sign = asyncio.create_task(self._show(step, began))
        try:
            yield step
        except BaseException:
            await _ended(sign)
            self.console.print(f"[red]✗[/] {title} ({duration(time.monotonic() - began)})")
            raise
        await _ended(sign)
        took = f"{time.monotonic() - began:.1f} s"
        self.console.print(f"[green]✓[/] {title} [dim]({took})[/] {step.outcome}", soft_wrap=True)

    async def _show(self, step: Step, began: float) -> None:
        if not self.console.is_terminal:
            while True:
                await asyncio.sleep(SECONDS_BETWEEN_SIGNS)
                self.console.print(f"  … {step.title}: {duration(time.monotonic() - began)}")
        with self.console.status("") as status:
            while True:
                elapsed = duration(time.monotonic() - began)
                status.update(f"{step.title} [dim]{elapsed}[/]")
                await asyncio.sleep(0.5)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
