"""Files on their way into datasets: looked at, sent, taken in, and what was made of them."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli import reports
from api.cli.connecting import DEFAULT_URL, AsJson, Url, run
from api.cli.output import percent_bar, print_json, progress_bar, size
from api.client import Client, ClientError
from api.client.datasets import (
    Dataset,
    DatasetMapping,
    Inspection,
    LeftOutColumn,
    MappedColumn,
    MappingOptions,
    Rejected,
)
from api.client.uploads import Upload, fingerprint, send
from jobs.status import TaskStatus
from training.config import DataType
from training.data.formats.shapes import Format, Part

__all__ = ["add_to"]

POLL_SECONDS: Final = 0.3
PATIENCE_SECONDS: Final = 10.0
"""So long an upload waits for what is found in its records, which can be looked at later."""
SHOWN_COLUMNS: Final = 10
SHOWN_CHARACTERS: Final = 200

File = Annotated[
    Path,
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="JSONL, JSON, CSV, Parquet, text or code, a zip or tar; also by gzip or zstd.",
    ),
]
RowFormat = Annotated[
    Format | None,
    typer.Option("--format", help="What a row means. [default: found from the columns]"),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="PART=NAME: a column of the format, such as QUESTION=frage."),
]
Ignored = Annotated[list[str] | None, typer.Option("--ignore", help="A column to leave out.")]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Datasets"
    app.command(rich_help_panel=panel)(inspect)
    app.command(rich_help_panel=panel)(upload)


def inspect(
    file: File,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Send a file and show what `upload` would make of it; then it need not be sent again."""
    mapping = _mapping(row_format, column, ignore)

    async def look(client: Client) -> Inspection:
        return await client.inspect(await _sent(client, url, file), mapping)

    found = run(url, look)
    if as_json:
        print_json(found)
    else:
        for line in _inspected_lines(file, found):
            typer.echo(line)
    raise typer.Exit(1 if found.problem else 0)


def upload(  # noqa: PLR0913  # each is an option of the verb
    file: File,
    data_type: Annotated[
        DataType | None,
        typer.Option("--type", help="What the records must come to. [default: what they do]"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="[default: the file's name]")] = None,
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Leave out bad rows instead of refusing all.")
    ] = False,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a file. What broke off goes on where it was, run once more."""
    mapping = _mapping(row_format, column, ignore)

    async def make(client: Client) -> Dataset:
        sent = await _sent(client, url, file)
        made = await client.create_dataset(
            name or _bare_name(file),
            sent,
            data_type=data_type,
            drop_invalid=drop_invalid,
            mapping=mapping,
        )
        return await _taken_in(client, made)

    dataset = run(url, make)
    if as_json:
        print_json(dataset)
    elif dataset.status is TaskStatus.READY:
        typer.echo(f"{dataset.id}: {dataset.record_count} records, {size(dataset.size_bytes)}")
        for line in _mapping_lines(dataset.mapping, dataset.left_out):
            typer.echo(line)
        for line in run(url, lambda client: _found_lines(client, dataset.id)):
            typer.echo(line)
    for line in _rejected_lines(dataset.rejected, dataset.rejected_count):
        typer.echo(line, err=True)
    if dataset.error is not None:
        raise ClientError(f"No dataset was made: {dataset.error.message}", dataset.error.remedy)


def _bare_name(file: Path) -> str:
    """The file's name without what it says of its kind."""
    return Path(file.stem).stem if file.suffix in (".gz", ".zst") else file.stem


async def _sent(client: Client, url: str, file: Path) -> Upload:
    """The whole file as an upload; of one that was sent before nothing is sent again."""
    size_bytes, sha256 = await fingerprint(file)
    sent = await client.create_upload(file.name, size_bytes, sha256)
    with progress_bar(file.name, size_bytes) as advance_to:
        await send(url, sent, file, on_progress=advance_to)
    return sent


async def _taken_in(client: Client, dataset: Dataset) -> Dataset:
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


async def _found_lines(client: Client, dataset: str) -> list[str]:
    found = await reports.examined(client, dataset, PATIENCE_SECONDS)
    if found.report is not None:
        return list(reports.examined_lines(found.report))
    return [f"  what is in its records: tunery examine {dataset}"]


def _mapping(
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


def _inspected_lines(file: Path, found: Inspection) -> Iterator[str]:
    packed = f" in {found.compression}" if found.compression else ""
    kind = f"{found.container}{packed}" if found.container else "unknown"
    yield f"{file}: {kind}; {found.sampled_rows} rows were looked at"
    yield from _mapping_lines(found.mapping, found.left_out)
    for row in found.rows:
        yield f"  line {row.line}: {_short(row.raw)}"
        if row.record is not None:
            yield f"    → {_short(row.record)}"
    yield from _rejected_lines(found.rejected, len(found.rejected))
    if found.problem is not None:
        yield f"  {found.problem.code}: {found.problem.message}"
        yield f"    → {found.problem.remedy}"


def _mapping_lines(
    mapping: DatasetMapping | None, left_out: Sequence[LeftOutColumn]
) -> Iterator[str]:
    if mapping is not None:
        columns = ", ".join(f"{each.part}={each.column}" for each in mapping.columns)
        yield f"  taken for {mapping.format}, which makes {mapping.data_type}: {columns}"
    shown = [f"{each.column} ({each.rows} rows)" for each in left_out[:SHOWN_COLUMNS]]
    if shown:
        more = f" and {len(left_out) - SHOWN_COLUMNS} more" * (len(left_out) > SHOWN_COLUMNS)
        yield f"  left out: {', '.join(shown)}{more}"


def _rejected_lines(rejected: Sequence[Rejected], count: int) -> Iterator[str]:
    for each in rejected:
        yield f"  line {each.line} was not taken: {each.message}"
    if count > len(rejected):
        yield f"  … {count} were not taken in all"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
