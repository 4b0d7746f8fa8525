"""Datasets made of others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.making import (
    Columns,
    Divided,
    DropInvalid,
    Ignored,
    RowFormat,
    mapping_of,
    taken_in,
    tell,
)
from api.cli.names import Dataset as DatasetName
from api.cli.output import print_json
from api.cli.uploading import sent
from api.client import Client, ClientError
from api.client.dataset_versions import Derivation, Lines
from api.client.datasets import Dataset
from api.client.reports import DataOutcome
from api.client.uploads import Upload
from jobs.status import TaskStatus
from training.data.containers.prose import Division
from training.data.doctor.checks import Code, Strategy

__all__ = ["add_to"]

SHOWN_LINES: Final = 10


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Datasets")(derive)


def derive(  # noqa: PLR0913  # each is an option of the verb
    dataset: DatasetName,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="LINES", help="Lines to leave out, such as 3 or 7-9; repeatable."),
    ] = None,
    drop: Annotated[
        list[Code] | None,
        typer.Option(metavar="FINDING", help="Leave out what was found so; see `tunery examine`."),
    ] = None,
    refuse: Annotated[
        list[Code] | None,
        typer.Option(metavar="FINDING", help="Make nothing where a record was found so."),
    ] = None,
    remove_duplicates: Annotated[
        bool, typer.Option("--remove-duplicates", help="Leave out all but the first of equals.")
    ] = False,
    add: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A file to add, of any kind for `upload`."),
    ] = None,
    add_dataset: Annotated[
        str | None, typer.Option(help="Another dataset to add, by name or id.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="[default: the name it was derived from]")
    ] = None,
    drop_invalid: DropInvalid = False,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    divide: Divided = Division.PASSAGES,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what --drop and --refuse would do.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of another, without some of its records and with more; the other stays."""
    if add is not None and add_dataset is not None:
        raise ClientError(
            "Both a file and a dataset are to be added.", "Add one, and derive again."
        )
    wanted = Derivation(
        name=name,
        remove=tuple(_lines(each) for each in remove or ()),
        strategies=_strategies(drop or (), refuse or ()),
        remove_duplicates=remove_duplicates,
        mapping=mapping_of(row_format, column, ignore),
        division=divide,
        drop_invalid=drop_invalid,
    )
    if dry_run:
        _foretell(dataset, wanted, url=url, as_json=as_json)
        return

    async def make(client: Client) -> Dataset:
        parent = await dataset_id(client, dataset)
        added: Upload | str | None = None
        if add is not None:
            added = await sent(client, url, add)
        elif add_dataset is not None:
            added = await dataset_id(client, add_dataset)
        begun = await client.derive_dataset(parent, wanted.model_copy(update={"add": added}))
        return await taken_in(client, begun)

    made = run(url, make)
    tell(made, url=url, as_json=as_json)
    if not as_json and made.status is TaskStatus.READY:
        for line in _derived_lines(made):
            typer.echo(line)


def _foretell(dataset: str, wanted: Derivation, *, url: str, as_json: bool) -> None:
    async def look(client: Client) -> DataOutcome | None:
        return await client.data_outcome(await dataset_id(client, dataset), wanted.strategies)

    found = run(url, look)
    if found is None:
        raise ClientError("It has not been examined yet.", f"Wait for: tunery examine {dataset}")
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.kept} would stay, {found.dropped.count} would be left out")
    for reason in found.dropped.reasons:
        typer.echo(f"  {reason.count} for {reason.finding}")
    if found.dropped.count:
        typer.echo(f"  {_on(found.dropped.count, found.dropped.lines)}")
    for each in found.refused:
        typer.echo(f"  {each.finding} would refuse all: {each.count} {_on(each.count, each.lines)}")


def _derived_lines(made: Dataset) -> Iterator[str]:
    derivation = made.derivation
    if derivation is None:
        return
    yield f"  version {made.version}: {derivation.removed} removed, {derivation.added} added"
    for each in derivation.removals:
        why = each.finding or each.cause
        yield f"  {each.count} for {why}, {_on(each.count, each.lines)}"


def _on(count: int, lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = ", …" if count > SHOWN_LINES else ""
    return f"on {'line' if count == 1 else 'lines'} {shown}{more}"


def _strategies(drop: Sequence[Code], refuse: Sequence[Code]) -> dict[Code, Strategy]:
    both = sorted(set(drop) & set(refuse))
    if both:
        raise ClientError(
            f"{both[0]} is to be dropped and refused.", "Choose one of --drop and --refuse."
        )
    dropped = dict.fromkeys(drop, Strategy.DROP)
    return dropped | dict.fromkeys(refuse, Strategy.ERROR)


def _lines(text: str) -> Lines:
    first, dash, last = text.partition("-")
    try:
        return Lines(first=int(first), last=int(last) if dash else int(first))
    except ValueError as error:
        raise ClientError(
            f"{text!r} names no lines.", "Write a line, such as 3, or a range, such as 7-9."
        ) from error
