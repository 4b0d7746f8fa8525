"""Two datasets side by side."""

from collections.abc import Iterator
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.output import print_json, shortened
from api.client import Client, ClientError
from api.client.dataset_versions import Comparison, DatasetLeaks, NumberedRecord
from api.client.results import Page
from training.wording import counted

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Datasets")(compare)


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
    typer.echo(f"{counted(found.in_both.total_count, 'records are in both')}")
    _show(f"only in {one}", found.only_in_a)
    _show(f"only in {other}", found.only_in_b)
    for line in _near_lines(found.leaks, one, other, first):
        typer.echo(line)


def _near_lines(leaks: DatasetLeaks, one: str, other: str, first: int) -> Iterator[str]:
    """What would be learnt nearly by heart if the one were trained on and tested with the other."""
    if leaks.near is None:
        yield f"nearly equal records: {leaks.unknown}"
        return
    if not leaks.near:
        yield f"none of {other} is nearly equal to one of {one}"
        return
    are = "is" if leaks.near == 1 else "are"
    yield f"{leaks.near} of {other} {are} equal to none of {one}, and nearly equal to some"
    for each in leaks.pairs[:first]:
        share = f"{each.similarity:.0%} in common"
        yield f"  line {each.line_in_b}, as line {each.line_in_a} of {one}: {share}"
    if leaks.near > first:
        yield f"  … and {leaks.near - first} more"


def _show(where: str, records: Page[NumberedRecord]) -> None:
    typer.echo(f"{counted(records.total_count, 'are')} {where}")
    for each in records.nodes:
        typer.echo(f"  line {each.line}: {shortened(each.content)}")
    if records.has_next_page:
        typer.echo(f"  … and {records.total_count - len(records.nodes)} more")
