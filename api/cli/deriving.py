"""Datasets made of others."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

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
from api.cli.names import ids_of
from api.cli.outcomes import Foretold, on_lines, tell_outcomes
from api.cli.previews import ChatTemplate, Train, rendering_of
from api.cli.token_reports import Limit, examined_tokens, unexamined_tokens
from api.cli.uploading import sent
from api.client import Client, ClientError
from api.client.dataset_versions import Derivation, Lines
from api.client.datasets import Dataset, ExaminedTokens
from api.client.previews import PreviewOptions
from jobs.status import TaskStatus
from training.data.containers.prose import Division
from training.data.doctor.checks import ROW_CODES, Code, Strategy

__all__ = ["add_to"]


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
    name: Annotated[str | None, typer.Option(show_default="the name it was derived from")] = None,
    drop_invalid: DropInvalid = False,
    row_format: RowFormat = None,
    column: Columns = None,
    ignore: Ignored = None,
    divide: Divided = Division.PASSAGES,
    model: Annotated[
        str | None,
        typer.Option(
            help="Whose tokens, where --drop or --refuse is about what is found in these."
        ),
    ] = None,
    chat_template: ChatTemplate = None,
    train_on: Train = None,
    max_sequence_length: Limit = None,
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
    options = rendering_of(chat_template, train_on, max_sequence_length)
    in_tokens = _in_tokens(model, options, wanted.strategies)
    if dry_run:
        told = run(url, lambda client: _foretold(client, dataset, wanted.strategies, in_tokens))
        tell_outcomes(told, as_json=as_json)
        return

    async def make(client: Client) -> Dataset:
        parent = await dataset_id(client, dataset)
        changes: dict[str, object] = {}
        if in_tokens is not None:
            changes["token_examination"] = await in_tokens.look(client, parent)
        if add is not None:
            changes["add"] = await sent(client, url, add)
        elif add_dataset is not None:
            changes["add"] = await dataset_id(client, add_dataset)
        begun = await client.derive_dataset(parent, wanted.model_copy(update=changes))
        return await taken_in(client, begun)

    made = run(url, make)
    tell(made, url=url, as_json=as_json)
    if not as_json and made.status is TaskStatus.READY:
        for line in _derived_lines(made):
            typer.echo(line)


class _InTokens(NamedTuple):
    """How records become the tokens that findings are about."""

    model: str
    options: PreviewOptions

    async def look(self, client: Client, parent: str) -> str:
        """The id of the look at them, which a worker takes now where it was not taken before."""
        model_id, _ = await ids_of(client, self.model, parent)
        found = await examined_tokens(client, parent, model_id, self.options)
        if found.report is None:
            raise unexamined_tokens(found)
        return found.id


def _in_tokens(
    model: str | None, options: PreviewOptions, strategies: Mapping[Code, Strategy]
) -> _InTokens | None:
    """None where no strategy is about tokens."""
    about = sorted(ROW_CODES.intersection(strategies))
    if about and model is None:
        raise ClientError(f"{about[0]} is found in a model's tokens.", "Add --model.")
    if not about and (model is not None or options.as_input()):
        raise ClientError(
            "Nothing that is found in tokens is to be dropped or refused.",
            "Leave --model and its options out, or name such a finding with --drop or --refuse.",
        )
    return None if model is None else _InTokens(model, options)


async def _foretold(
    client: Client, dataset: str, strategies: Mapping[Code, Strategy], in_tokens: _InTokens | None
) -> Foretold:
    key = await dataset_id(client, dataset)
    tokens = None
    own = {code: each for code, each in strategies.items() if code in ROW_CODES}
    if in_tokens is not None:
        tokens = await client.token_outcome(await in_tokens.look(client, key), own)
    others = {code: each for code, each in strategies.items() if code not in ROW_CODES}
    if others or tokens is None:
        records = await client.data_outcome(key, others)
        if records is None:
            raise ClientError(
                "It has not been examined yet.", f"Wait for: tunery examine {dataset}"
            )
        return Foretold(records=records, tokens=tokens)
    return Foretold(records=None, tokens=tokens)


def _derived_lines(made: Dataset) -> Iterator[str]:
    derivation = made.derivation
    if derivation is None:
        return
    yield f"  version {made.version}: {derivation.removed} removed, {derivation.added} added"
    if derivation.examined_tokens is not None:
        yield f"  by the tokens of {_rendered(derivation.examined_tokens)}"
    for each in derivation.removals:
        why = each.finding or each.cause
        yield f"  {each.count} for {why}, {on_lines(each.count, each.lines)}"


def _rendered(found: ExaminedTokens) -> str:
    template = "" if found.chat_template is None else " by a template that was chosen"
    return (
        f"{found.model}{template}: {found.train_on}, at most {found.max_sequence_length} a record"
    )


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
