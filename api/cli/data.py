"""Datasets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, After, AsJson, First, Url, run
from api.cli.output import print_json, print_page, size
from api.client import Client, ClientError
from api.client.datasets import Dataset
from api.client.downloads import download
from api.client.exports import ExportFile
from jobs.status import TaskStatus
from training.wording import counted

__all__ = ["add_to", "read_lines"]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Datasets"
    app.command(rich_help_panel=panel)(datasets)
    app.command("download-dataset", rich_help_panel=panel)(download_dataset)
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
            each.data_type.value if each.data_type else "-",
            _standing(each),
            str(each.record_count),
            size(each.size_bytes),
            each.created_at.strftime("%Y-%m-%d %H:%M"),
        )
        for each in page.nodes
    ]
    print_page(page, ("ID", "NAME", "TYPE", "STATUS", "RECORDS", "SIZE", "MADE"), rows)


def _standing(dataset: Dataset) -> str:
    running = dataset.status is TaskStatus.RUNNING
    return f"{dataset.progress:.0f}%" if running else dataset.status.value


def download_dataset(
    dataset: Annotated[str, typer.Argument(help="The dataset's id.")],
    output: Annotated[Path, typer.Option(help="The file to write.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Fetch a dataset's records as JSONL, which makes the same dataset again."""

    async def fetch(client: Client) -> Dataset:
        found = await client.dataset(dataset)
        if found is None:
            raise ClientError(f"There is no dataset {dataset}.", "See: tunery datasets")
        if found.download_url is None or found.sha256 is None:
            raise ClientError(f"The dataset is {found.status}.", "Wait until it is READY.")
        file = ExportFile(
            name=output.name,
            size_bytes=found.size_bytes,
            sha256=found.sha256,
            download_url=found.download_url,
        )
        await download(url, [file], output.parent)
        return found

    found = run(url, fetch)
    typer.echo(f"{output}: {counted(found.record_count, 'records')}, {size(found.size_bytes)}")


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
