"""Datasets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, After, AsJson, First, Url, run
from api.cli.output import print_json, print_page, progress_bar, size
from api.client import Client, ClientError
from api.client.results import Dataset
from api.client.uploads import fingerprint, send
from training.config import DataType

__all__ = ["add_to", "read_lines"]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Datasets"
    app.command(rich_help_panel=panel)(datasets)
    app.command(rich_help_panel=panel)(upload)
    app.command("delete-dataset", rich_help_panel=panel)(delete_dataset)


def datasets(
    url: Url = DEFAULT_URL, first: First = 20, after: After = None, as_json: AsJson = False
) -> None:
    """List your datasets."""
    page = run(url, lambda client: client.datasets(first, after))
    if as_json:
        print_json(page.nodes)
        return
    rows = [
        (
            each.id,
            each.name,
            each.data_type.value,
            str(each.record_count),
            size(each.size_bytes),
            each.created_at.strftime("%Y-%m-%d %H:%M"),
        )
        for each in page.nodes
    ]
    print_page(page, ("ID", "NAME", "TYPE", "RECORDS", "SIZE", "MADE"), rows)


def upload(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="One JSON object a line.")
    ],
    data_type: Annotated[DataType, typer.Option("--type", help="The shape of the records.")],
    name: Annotated[str | None, typer.Option(help="[default: the file's name]")] = None,
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Leave out bad records instead of refusing all.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a JSONL file. What broke off goes on where it was, run once more."""

    async def make(client: Client) -> Dataset:
        size_bytes, sha256 = await fingerprint(file)
        sent = await client.create_upload(file.name, size_bytes, sha256)
        with progress_bar(file.name, size_bytes) as advance_to:
            await send(url, sent, file, on_progress=advance_to)
        return await client.create_dataset(
            name or file.stem, sent, data_type=data_type, drop_invalid=drop_invalid
        )

    dataset = run(url, make)
    if as_json:
        print_json(dataset)
        return
    typer.echo(f"{dataset.id}: {dataset.record_count} records, {size(dataset.size_bytes)}")
    for each in dataset.rejected:
        typer.echo(f"  line {each.line} was left out: {each.message}", err=True)
    if dataset.rejected_count > len(dataset.rejected):
        typer.echo(f"  … {dataset.rejected_count} were left out in all", err=True)


def delete_dataset(
    dataset: Annotated[str, typer.Argument(help="The dataset's id.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Remove a dataset and its file."""
    deleted = run(url, lambda client: client.delete_dataset(dataset))
    if as_json:
        print_json(deleted)
    else:
        typer.echo(f"Deleted {deleted.id}; {size(deleted.freed_bytes)} are free again.")


def read_lines(file: Path) -> Iterator[tuple[int, object]]:
    """The values in a JSONL file with their line numbers, from 1; blank lines are passed over.

    Raises ClientError that names the first line that is not JSON.
    """
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, json.loads(line)
    except json.JSONDecodeError as error:
        raise _bad_line(number, file, f"no JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise _bad_line(number, file, "nested too deep") from error
    except UnicodeDecodeError as error:
        raise _bad_line(number + 1, file, "no UTF-8 text") from error


def _bad_line(number: int, file: Path, what: str) -> ClientError:
    return ClientError(
        f"Line {number} of {file} is {what}.", "Write one JSON object on each line, in UTF-8."
    )
