"""What the doctor found in a dataset, waited for and shown."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.names import Dataset
from api.cli.output import percent, print_json
from api.client import Client, ClientError
from api.client.reports import DataFinding, DatasetReport, ExaminedDataset
from jobs.status import TaskStatus

__all__ = ["add_to", "examined", "examined_lines"]

POLL_SECONDS: Final = 0.3
SHOWN_LINES: Final = 10
SHOWN_LANGUAGES: Final = 5


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Datasets")(examine)


def examine(
    dataset: Dataset,
    wait: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for a worker at most. [default: without end]"),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show what was found in a dataset's records, before anything is trained on them."""

    async def look(client: Client) -> ExaminedDataset:
        return await examined(client, await dataset_id(client, dataset), wait)

    found = run(url, look)
    if as_json:
        print_json(found)
    elif found.report is not None:
        typer.echo(f"{found.name}: {found.record_count} records")
        for line in examined_lines(found.report):
            typer.echo(line)
    if found.report is None:
        raise _unexamined(found)


async def examined(
    client: Client, dataset: str, patience_seconds: float | None = None
) -> ExaminedDataset:
    """The dataset once it was examined, or as it stands when patience ends."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    while True:
        found = await client.examined_dataset(dataset)
        if found is None:
            raise ClientError(
                f"There is no dataset {dataset} that you can see.",
                "List them with: tunery datasets",
            )
        is_over = patience_seconds is not None and clock() - begun >= patience_seconds
        if is_over or not _is_awaited(found):
            return found
        await asyncio.sleep(POLL_SECONDS)


def _is_awaited(found: ExaminedDataset) -> bool:
    """Whether there may be a report yet."""
    status = found.status if found.examination is None else found.examination.status
    return status in (TaskStatus.QUEUED, TaskStatus.RUNNING)


def examined_lines(report: DatasetReport) -> Iterator[str]:
    """The findings, each with its lines and remedy, and what languages there are."""
    for each in report.findings:
        yield f"  {each.severity.value} {each.code}: {each.message} {_places(each)}"
        yield f"    → {each.remedy}"
    for name, found in (("equal", report.duplicates), ("nearly equal", report.near_duplicates)):
        if found.records:
            largest = found.largest[0]
            yield (
                f"  {found.records} records are {name} to an earlier one, in {found.groups} groups; "
                f"the largest has {largest.count}, the first at line {largest.lines[0]}"
            )
    if report.languages is not None:
        sampled = report.languages.sampled
        shown = ", ".join(
            f"{each.code} {percent(each.records / sampled)}"
            for each in report.languages.languages[:SHOWN_LANGUAGES]
        )
        yield f"  languages of {sampled} sampled: {shown}"
    if not report.findings:
        yield "  nothing was found"


def _places(found: DataFinding) -> str:
    shown = ", ".join(map(str, found.lines[:SHOWN_LINES]))
    more = ", …" if found.count > SHOWN_LINES else ""
    return f"{'Line' if found.count == 1 else 'Lines'} {shown}{more}"


def _unexamined(found: ExaminedDataset) -> ClientError:
    if found.examination is None:
        return ClientError(f"The dataset is {found.status}.", "It is examined once it is READY.")
    error = found.examination.error
    if error is not None:
        return ClientError(f"It could not be examined: {error.message}", error.remedy)
    return ClientError("It has not been examined yet.", "Ask again; a worker must be running.")
