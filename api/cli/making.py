"""Datasets in the making: the options that every source has, progress, and what became of it."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from api.cli import reports
from api.cli.connecting import run
from api.cli.output import percent_bar, print_json, size
from api.client import Client, ClientError
from api.client.datasets import (
    Dataset,
    DatasetMapping,
    HubSource,
    LeftOutColumn,
    MappedColumn,
    MappingOptions,
    Rejected,
    UploadSource,
)
from api.client.results import Failure
from jobs.status import TaskStatus
from training.config import DataType
from training.data.containers.prose import Division
from training.data.formats.shapes import Format, Part
from training.wording import counted

__all__ = [
    "Columns",
    "DataTypeOption",
    "Divided",
    "DropInvalid",
    "Ignored",
    "RowFormat",
    "mapping_lines",
    "mapping_of",
    "rejected_lines",
    "remedy_of",
    "taken_in",
    "tell",
]

_DROP_THEM: Final = "Correct them or the mapping, or leave them out with --drop-invalid."
"""What a shell says in place of the API's own words."""
_MAP_THEM: Final = (
    "Say what a row means, such as: --format QUESTION_ANSWER --column QUESTION=NAME --column ANSWER=NAME; "
    "name other columns with --ignore."
)
_OF_MAPPING: Final = ("FORMAT_UNKNOWN", "FORMAT_AMBIGUOUS")
PATIENCE_SECONDS: Final = 10.0
"""So long is waited for what is found in the records, which can be looked at later."""
POLL_SECONDS: Final = 0.3
SHOWN_COLUMNS: Final = 10

DataTypeOption = Annotated[
    DataType | None,
    typer.Option("--type", help="What the records must come to.", show_default="what they do"),
]
DropInvalid = Annotated[
    bool, typer.Option("--drop-invalid", help="Leave out bad rows instead of refusing all.")
]
RowFormat = Annotated[
    Format | None,
    typer.Option("--format", help="What a row means.", show_default="found from the columns"),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="PART=NAME: a column of the format, such as QUESTION=frage."),
]
Ignored = Annotated[list[str] | None, typer.Option("--ignore", help="A column to leave out.")]
Divided = Annotated[
    Division, typer.Option("--divide", case_sensitive=False, help="How to cut plain text.")
]


def mapping_of(
    row_format: Format | None, columns: Sequence[str] | None, ignored: Sequence[str] | None
) -> MappingOptions | None:
    """The mapping that was asked for; None where it is to be found."""
    if row_format is None:
        if columns or ignored:
            raise ClientError("--column and --ignore belong to a format.", "Add --format.")
        return None
    mapped = tuple(_mapped_column(each) for each in columns or ())
    return MappingOptions(format=row_format, columns=mapped, ignored=tuple(ignored or ()))


def _mapped_column(assignment: str) -> MappedColumn:
    part, _, name = assignment.partition("=")
    try:
        return MappedColumn(part=Part(part.strip().upper()), column=name)
    except ValueError as error:
        known = ", ".join(Part)
        raise ClientError(f"There is no part {part!r}.", f"Write PART=NAME, of {known}.") from error


async def taken_in(client: Client, dataset: Dataset) -> Dataset:
    """The dataset once it is READY or FAILED, its progress shown meanwhile."""
    found: Dataset | None = dataset
    with percent_bar("taken in") as advance_to:
        while found is not None and found.status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
            await asyncio.sleep(POLL_SECONDS)
            found = await client.dataset(dataset.id)
            advance_to(found.progress if found else 0.0)
    if found is None:
        raise ClientError("The dataset was deleted before it was made.")
    return found


def tell(dataset: Dataset, *, url: str, as_json: bool) -> None:
    """Print what was made and what was found in it; ClientError, after the rows that were not taken,
    where nothing was made."""
    if as_json:
        print_json(dataset)
    elif dataset.status is TaskStatus.READY:
        typer.echo(
            f"{dataset.id}: {counted(dataset.record_count, 'records')}, {size(dataset.size_bytes)}"
        )
        for line in _hub_lines(dataset.source):
            typer.echo(line)
        if dataset.derivation is None or dataset.derivation.added:
            for line in mapping_lines(dataset.mapping, dataset.left_out):
                typer.echo(line)
        for line in run(url, lambda client: _found_lines(client, dataset.id)):
            typer.echo(line)
    for line in rejected_lines(dataset.rejected, dataset.rejected_count):
        typer.echo(line, err=True)
    if dataset.error is not None:
        remedy = _DROP_THEM if dataset.rejected_count else remedy_of(dataset.error)
        raise ClientError(f"No dataset was made: {dataset.error.message}", remedy)


async def _found_lines(client: Client, dataset: str) -> list[str]:
    found = await reports.examined(client, dataset, PATIENCE_SECONDS)
    if found.report is not None:
        return list(reports.examined_lines(found.report))
    return [f"  what is in its records: tunery examine {dataset}"]


def _hub_lines(source: UploadSource | HubSource | None) -> Iterator[str]:
    if isinstance(source, HubSource):
        yield f"  of {source.id}, {source.config}, {source.split}, at commit {source.commit}"
        if source.partial:
            yield "  which is the beginning alone: the hub converts no more of so large a dataset"


def mapping_lines(
    mapping: DatasetMapping | None, left_out: Sequence[LeftOutColumn]
) -> Iterator[str]:
    """What rows were taken for, and what of them was not."""
    if mapping is not None:
        columns = ", ".join(f"{each.part}={each.column}" for each in mapping.columns)
        yield f"  taken for {mapping.format}, which makes {mapping.data_type}: {columns}"
    shown = [f"{each.column} ({counted(each.rows, 'rows')})" for each in left_out[:SHOWN_COLUMNS]]
    if shown:
        more = f" and {len(left_out) - SHOWN_COLUMNS} more" * (len(left_out) > SHOWN_COLUMNS)
        yield f"  left out: {', '.join(shown)}{more}"


def remedy_of(problem: Failure) -> str | None:
    """What to do about a file that is none as it stands, in the words of a shell."""
    return _MAP_THEM if problem.code in _OF_MAPPING else problem.remedy


def rejected_lines(rejected: Sequence[Rejected], count: int) -> Iterator[str]:
    """The first rows that were not taken, and how many there are."""
    for each in rejected:
        yield f"  line {each.line} was not taken: {each.message}"
    if count > len(rejected):
        yield f"  … {count} were not taken in all"
