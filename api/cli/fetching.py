"""Datasets of the Hugging Face hub."""

from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, run
from api.cli.making import (
    Columns,
    DataTypeOption,
    DropInvalid,
    Ignored,
    RowFormat,
    mapping_of,
    taken_in,
    tell,
)
from api.client import Client
from api.client.datasets import Dataset, HubSplit

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Datasets")(fetch)


def fetch(  # noqa: PLR0913  # each is an option of the verb
    hub_id: Annotated[str, typer.Argument(metavar="ID", help="OWNER/NAME at the hub.")],
    split: Annotated[str, typer.Option(help="The split.")] = "train",
    config: Annotated[
        str | None,
        typer.Option(help="The configuration.", show_default="the only or the default one"),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A branch, tag or commit.", show_default="the newest")
    ] = None,
    data_type: DataTypeOption = None,
    name: Annotated[str | None, typer.Option(show_default="the id's last part")] = None,
    drop_invalid: DropInvalid = False,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a split of the Hugging Face hub, which a worker fetches."""
    mapping = mapping_of(row_format, column, ignore)
    wanted = HubSplit(id=hub_id, split=split, config=config, revision=revision)

    async def make(client: Client) -> Dataset:
        made = await client.create_dataset(
            name or hub_id.rpartition("/")[2],
            wanted,
            data_type=data_type,
            drop_invalid=drop_invalid,
            mapping=mapping,
        )
        return await taken_in(client, made)

    tell(run(url, make), url=url, as_json=as_json)
