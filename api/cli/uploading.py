"""Files on their way into datasets: looked at, sent, taken in, and what was made of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, run
from api.cli.making import (
    Columns,
    DataTypeOption,
    Divided,
    DropInvalid,
    Ignored,
    RowFormat,
    mapping_lines,
    mapping_of,
    rejected_lines,
    remedy_of,
    taken_in,
    tell,
)
from api.cli.output import print_json, progress_bar, shortened
from api.client import Client
from api.client.datasets import Dataset, Inspection
from api.client.uploads import Upload, fingerprint, send
from training.data.containers.prose import Division
from training.wording import counted

__all__ = ["add_to", "sent"]


File = Annotated[
    Path,
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="JSONL, JSON, CSV, Parquet, text or code, a zip or tar; also by gzip or zstd.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Datasets"
    app.command(rich_help_panel=panel)(inspect)
    app.command(rich_help_panel=panel)(upload)


def inspect(  # noqa: PLR0913  # each is an option of the verb
    file: File,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    divide: Divided = Division.PASSAGES,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Send a file and show what `upload` would make of it; then it need not be sent again."""
    mapping = mapping_of(row_format, column, ignore)

    async def look(client: Client) -> Inspection:
        return await client.inspect(await sent(client, url, file), mapping, division=divide)

    found = run(url, look)
    if as_json:
        print_json(found)
    else:
        for line in _inspected_lines(file, found):
            typer.echo(line)
    raise typer.Exit(1 if found.problem else 0)


def upload(  # noqa: PLR0913  # each is an option of the verb
    file: File,
    data_type: DataTypeOption = None,
    name: Annotated[str | None, typer.Option(show_default="the file's name")] = None,
    drop_invalid: DropInvalid = False,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    divide: Divided = Division.PASSAGES,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a file. What broke off goes on where it was, run once more."""
    mapping = mapping_of(row_format, column, ignore)

    async def make(client: Client) -> Dataset:
        made = await client.create_dataset(
            name or _bare_name(file),
            await sent(client, url, file),
            data_type=data_type,
            drop_invalid=drop_invalid,
            mapping=mapping,
            division=divide,
        )
        return await taken_in(client, made)

    tell(run(url, make), url=url, as_json=as_json)


def _bare_name(file: Path) -> str:
    """The file's name without what it says of its kind."""
    return Path(file.stem).stem if file.suffix in (".gz", ".zst") else file.stem


async def sent(client: Client, url: str, file: Path) -> Upload:
    """The whole file as an upload; of one that was sent before nothing is sent again."""
    size_bytes, sha256 = await fingerprint(file)
    upload = await client.create_upload(file.name, size_bytes, sha256)
    with progress_bar(file.name, size_bytes) as advance_to:
        await send(url, upload, file, on_progress=advance_to)
    return upload


def _inspected_lines(file: Path, found: Inspection) -> Iterator[str]:
    packed = f" in {found.compression}" if found.compression else ""
    kind = f"{found.container}{packed}" if found.container else "unknown"
    yield f"{file}: {kind}; {counted(found.sampled_rows, 'rows were looked at')}"
    yield from mapping_lines(found.mapping, found.left_out)
    for row in found.rows:
        if row.raw is None:  # it is named below
            continue
        yield f"  line {row.line}: {shortened(row.raw)}"
        if row.record is not None:
            yield f"    → {shortened(row.record)}"
    yield from rejected_lines(found.rejected, len(found.rejected))
    if found.problem is not None:
        yield f"  {found.problem.code}: {found.problem.message}"
        yield f"    → {remedy_of(found.problem)}"
