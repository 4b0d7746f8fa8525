"""A dataset as a run would see it, printed."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from api.cli.connecting import DEFAULT_URL, After, AsJson, Url, run
from api.cli.names import Dataset, Model, ids_of
from api.cli.output import print_json
from api.client import Client
from api.client.previews import DatasetPreview, PreviewedRecord, PreviewOptions
from training.config import TrainOn

__all__ = [
    "ChatTemplate",
    "Length",
    "Train",
    "add_to",
    "is_coloured",
    "parts",
    "rendering_of",
    "template_text",
]

ChatTemplate = Annotated[
    str | None,
    typer.Option(help="A template's name, such as CHATML, or @FILE with its text in Jinja."),
]
Train = Annotated[TrainOn | None, typer.Option(case_sensitive=False, help="Which part is trained.")]
Length = Annotated[
    int | None, typer.Option(min=1, help="Longer records are cut to so many tokens.")
]

_OPENING, _CLOSING = "⟦", "⟧"
"""Around what is trained, where there are no colours."""
_TRAINED, _UNTRAINED = "bold green", "dim"


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Datasets")(preview)


def preview(  # noqa: PLR0913  # each is an option of the verb
    dataset: Dataset,
    model: Model,
    chat_template: ChatTemplate = None,
    train_on: Train = None,
    max_sequence_length: Length = None,
    first: Annotated[int, typer.Option(min=1, max=20, help="How many records.")] = 3,
    after: After = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the ids of the tokens too.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show records as a model would be trained on them, and which of their tokens are trained.

    What is trained is green and bold, or stands between ⟦ and ⟧ where there are no colours.
    """
    options = rendering_of(chat_template, train_on, max_sequence_length)

    async def work(client: Client) -> DatasetPreview:
        model_id, dataset_id = await ids_of(client, model, dataset)
        return await client.preview(dataset_id, model_id, options, first=first, after=after)

    shown = run(url, work)
    if as_json:
        print_json(shown)
        return
    console = Console(soft_wrap=True, highlight=False)
    coloured = is_coloured(console)
    for record in shown.records:
        console.print(_heading(record), style="bold", markup=False)
        console.print(Text.assemble(*parts(record, coloured=coloured)))
        if ids:
            numbers = " ".join(str(token.id) for token in record.tokens)
            console.print(numbers, markup=False)
    if shown.has_next_page:
        more = f"{len(shown.records)} of {shown.total_count}; more with --after {shown.end_cursor}"
        Console(stderr=True, soft_wrap=True).print(more, markup=False, highlight=False)


def rendering_of(
    chat_template: str | None, train_on: TrainOn | None, max_sequence_length: int | None
) -> PreviewOptions:
    """How records are to be rendered, as these options say."""
    return PreviewOptions(
        chat_template=template_text(chat_template),
        train_on=train_on,
        max_sequence_length=max_sequence_length,
    )


def template_text(given: str | None) -> str | None:
    """The name or the text; that of a file, where one is named."""
    if given is None or not given.startswith("@"):
        return given
    return Path(given[1:]).read_text(encoding="utf-8")


def _heading(record: PreviewedRecord) -> str:
    counted = f"{record.token_count} tokens, {record.trained_token_count} of them trained"
    cut = ", cut to the longest length" if record.truncated else ""
    return f"Record {record.line}: {counted}{cut}"


def is_coloured(console: Console) -> bool:
    """Whether it shows colours: a terminal does, unless NO_COLOR is set."""
    return console.is_terminal and not console.no_color


def parts(record: PreviewedRecord, *, coloured: bool) -> Iterator[str | tuple[str, str]]:
    """Stretches of text that are trained or are not."""
    for trained, tokens in groupby(record.tokens, lambda token: token.trained):
        text = "".join(token.text for token in tokens)
        if coloured:
            yield text, _TRAINED if trained else _UNTRAINED
        else:
            yield f"{_OPENING}{text}{_CLOSING}" if trained else text
    if record.tokens_cut:
        yield " …"
