"""What is printed: tables for people, lines for pipes, JSON for programs, problems on stderr."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from api.client import Refused
from api.client.resources import MemoryEstimate, ResourceUsage, TimeEstimate
from api.client.results import Finding, Page, Record
from training import findings as training

RecordT = TypeVar("RecordT", bound=Record)

__all__ = [
    "complain",
    "complain_of",
    "complain_of_settings",
    "duration",
    "finding_lines",
    "percent",
    "percent_bar",
    "print_json",
    "print_page",
    "print_table",
    "progress_bar",
    "shortened",
    "size",
]


SHOWN_CHARACTERS: Final = 200


def complain(message: str, remedy: str | None = None) -> None:
    """One problem, and what to do about it."""
    console = Console(stderr=True, soft_wrap=True)
    console.print("[bold red]Error:[/] ", end="")
    console.print(message, markup=False, highlight=False)
    if remedy:
        console.print(f"  → {remedy}", markup=False, highlight=False)


def complain_of(error: Refused) -> None:
    """A refusal with everything that was found wrong."""
    if [each.message for each in error.findings] == [error.message]:
        complain(error.message, error.remedy or error.findings[0].remedy)
        return
    complain(error.message, error.remedy)
    console = Console(stderr=True, soft_wrap=True)
    for line in finding_lines(error.findings):
        console.print(line, markup=False, highlight=False)


def complain_of_settings(error: ValidationError) -> None:
    """The settings that the service cannot start with."""
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"]).upper()
        missing = problem["type"] == "missing"
        message = "is not set" if missing else str(problem["msg"]).removeprefix("Value error, ")
        remedy = f"Set TUNERY_{name} in the environment." if name else None
        if missing and name == "SECRET":
            remedy = "Set it to 32 characters or more, or let `tunery up` make one in its home."
        complain(f"TUNERY_{name}: {message}" if name else message, remedy)


def finding_lines(findings: Iterable[Finding | training.Finding]) -> list[str]:
    """Two lines a finding: what and where, then the remedy."""
    lines = []
    for each in findings:
        place = ".".join(each.path) or "input"
        lines.append(f"  {each.severity.value} {each.code} at {place}: {each.message}")
        if each.remedy:
            lines.append(f"    → {each.remedy}")
    return lines


def print_json(value: Record | Sequence[Record]) -> None:
    """An answer as the API names it."""
    if isinstance(value, Record):
        dumped: object = value.model_dump(mode="json", by_alias=True)
    else:
        dumped = [each.model_dump(mode="json", by_alias=True) for each in value]
    print(json.dumps(dumped, indent=2, ensure_ascii=False))


def print_page(page: Page[RecordT], columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A part of a list, and how to get the next part."""
    print_table(columns, rows)
    if page.has_next_page:
        more = f"{len(page.nodes)} of {page.total_count}; more with --after {page.end_cursor}"
        Console(stderr=True, soft_wrap=True).print(more, markup=False, highlight=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere one line a row with tabs between, and a heading."""
    console = Console()
    if not console.is_terminal:
        for row in (columns, *rows):
            print("\t".join(row))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


@contextmanager
def progress_bar(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal; give it how many bytes have been done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(escape(name), total=size_bytes)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def percent_bar(name: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, where that is a terminal; give it how much of 100 has been done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(name), total=100)
        yield lambda done: progress.update(task, completed=done)


def percent(share: float | None) -> str:
    """A share of 1 in percent."""
    return "-" if share is None else f"{100 * share:.1f}%"


def size(size_bytes: float | None) -> str:
    """Bytes in the largest unit that leaves a number above 1."""
    if size_bytes is None:
        return "-"
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def duration(seconds: float | None) -> str:
    """Seconds as hours, minutes and seconds."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def memory_estimate(memory: MemoryEstimate) -> str:
    """An estimate with its components, and whether it fits."""
    components = ("weights", "gradients", "optimizer", "activations", "logits", "base")
    parts = ", ".join(f"{name} {size(getattr(memory, name))}" for name in components)
    fits = "" if memory.fits else ": too little"
    return f"{size(memory.peak)} ({parts}) of {size(memory.available)}{fits}"


def time_estimate(time: TimeEstimate) -> str:
    """An estimate with its phases, and how sure it is."""
    phases = ("preparing", "training", "validating")
    parts = ", ".join(f"{name} {duration(getattr(time, name))}" for name in phases)
    low, high = duration(time.total / time.factor), duration(time.total * time.factor)
    return f"{duration(time.total)} ({parts}), between {low} and {high}"


def usage(used: ResourceUsage) -> str:
    """What an attempt needed."""
    return f"{size(used.peak_memory_bytes)} of memory, {duration(used.seconds)}"


def shortened(value: object) -> str:
    """The beginning of a value as JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
