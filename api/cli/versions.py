"""Datasets made of others, and two side by side."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.data import read_lines
from api.cli.output import print_json
from api.client import Client, ClientError
from api.client.dataset_versions import (
    Comparison,
    DatasetLeaks,
    Derivation,
    DerivedDataset,
    Lines,
    NumberedRecord,
)
from api.client.results import Page

__all__ = ["add_to"]

DatasetName = Annotated[
    str, typer.Argument(help="The dataset's id, or its name: the newest counts.")
]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Datasets"
    app.command(rich_help_panel=panel)(derive)
    app.command(rich_help_panel=panel)(compare)


def derive(  # noqa: PLR0913  # each is an option of the verb
    dataset: DatasetName,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="LINES", help="Lines to leave out, such as 3 or 7-9; repeatable."),
    ] = None,
    remove_duplicates: Annotated[
        bool, typer.Option("--remove-duplicates", help="Leave out all but the first of equals.")
    ] = False,
    add: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Records to add, one JSON object a line."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="[default: the name it was derived from]")
    ] = None,
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Leave out bad records instead of refusing all.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of another, without some of its records and with more; the other stays."""
    wanted = Derivation(
        name=name,
        remove=tuple(_lines(each) for each in remove or ()),
        remove_duplicates=remove_duplicates,
        add=() if add is None else tuple(record for _, record in read_lines(add)),
        drop_invalid=drop_invalid,
    )

    async def make(client: Client) -> DerivedDataset:
        return await client.derive_dataset(await dataset_id(client, dataset), wanted)

    made = run(url, make)
    if as_json:
        print_json(made)
        return
    typer.echo(
        f"{made.id}: version {made.version}, {made.record_count} records, {made.removed} removed, "
        f"{made.added} added"
    )
    for each in made.rejected:
        typer.echo(f"  record {each.line} was left out: {each.message}", err=True)


def compare(
    one: Annotated[str, typer.Argument(help="A dataset's id or name.")],
    other: Annotated[str, typer.Argument(help="Another's.")],
    first: Annotated[
        int, typer.Option(min=1, max=100, help="How many records of each kind to show.")
    ] = 5,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show which records two datasets share, and which only one has."""

    async def look(client: Client) -> Comparison | None:
        a, b = await dataset_id(client, one), await dataset_id(client, other)
        return await client.compare_datasets(a, b, first)

    found = run(url, look)
    if found is None:
        raise ClientError(
            f"{one!r} or {other!r} is no dataset that you can see.",
            "List them with: tunery datasets",
        )
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.in_both.total_count} records are in both")
    _show(f"only in {one}", found.only_in_a)
    _show(f"only in {other}", found.only_in_b)
    for line in _near_lines(found.leaks, one, other, first):
        typer.echo(line)


def _near_lines(leaks: DatasetLeaks, one: str, other: str, first: int) -> Iterator[str]:
    """What would be learnt nearly by heart if the one were trained on and tested with the other."""
    if leaks.near is None:
        yield f"nearly equal records: {leaks.unknown}"
        return
    yield f"{leaks.near} of {other} are equal to none of {one}, and nearly equal to some"
    for each in leaks.pairs[:first]:
        share = f"{each.similarity:.0%} in common"
        yield f"  line {each.line_in_b}, as line {each.line_in_a} of {one}: {share}"
    if leaks.near > first:
        yield f"  … and {leaks.near - first} more"


def _show(where: str, records: Page[NumberedRecord]) -> None:
    typer.echo(f"{records.total_count} are {where}")
    for each in records.nodes:
        typer.echo(f"  line {each.line}: {json.dumps(each.content, ensure_ascii=False)}")
    if records.has_next_page:
        typer.echo(f"  … and {records.total_count - len(records.nodes)} more")


def _lines(text: str) -> Lines:
    first, dash, last = text.partition("-")
    try:
        return Lines(first=int(first), last=int(last) if dash else int(first))
    except ValueError as error:
        raise ClientError(
            f"{text!r} names no lines.", "Write a line, such as 3, or a range, such as 7-9."
        ) from error
