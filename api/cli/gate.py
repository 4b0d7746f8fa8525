"""What a model's versions must be to go into production."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.output import print_json
from api.client import Client, ClientError
from api.client.versions import ActivationGate, FigureBound, GateOptions
from jobs.registry.figures import Figure

__all__ = ["gate"]

_NAMES: Final = {figure.lower().replace("_", "-"): figure for figure in Figure}


def gate(  # noqa: PLR0913  # each is an option of the verb
    model: Annotated[str, typer.Argument(help="The model's name.")],
    min_accuracy: Annotated[
        float | None, typer.Option(help="The least share of held-out tokens foretold, 0 to 1.")
    ] = None,
    max_loss: Annotated[
        float | None, typer.Option(help="The most loss over held-out rows, in nats a token.")
    ] = None,
    not_worse: Annotated[
        bool, typer.Option("--not-worse", help="No more loss than the ACTIVE version has.")
    ] = False,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=BOUND",
            help="A figure of the newest evaluation, and the least that it must be, or the most of one "
            "of which less is better: exact-match=0.8, loss=1.2.",
        ),
    ] = None,
    figure_not_worse: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One that must be as good as the ACTIVE version's."),
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="The test dataset of that evaluation: its id or name.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say what a model's versions must be to go into production; without options, that any may."""
    bounds = (*_bounds(figure or ()), *_not_worse(figure_not_worse or ()))
    wanted = GateOptions(
        min_accuracy=min_accuracy, max_loss=max_loss, not_worse=not_worse, figures=bounds
    )

    async def work(client: Client) -> ActivationGate | None:
        if wanted == GateOptions() and on is None:
            return await client.set_gate(model, None)
        key = None if on is None else await dataset_id(client, on)
        return await client.set_gate(model, wanted.model_copy(update={"test_dataset_id": key}))

    found = run(url, work)
    if as_json:
        print_json(found or ActivationGate())
    else:
        typer.echo("any version may go into production" if found is None else "the gate is set")


def _bounds(texts: Sequence[str]) -> Iterator[FigureBound]:
    for text in texts:
        name, _, bound = text.partition("=")
        try:
            yield FigureBound(figure=_figure(name), bound=float(bound))
        except ValueError as error:
            raise ClientError(
                f"{bound!r} is no bound of {name}.", f"Write {name}=NUMBER, such as {name}=0.8."
            ) from error


def _not_worse(names: Sequence[str]) -> Iterator[FigureBound]:
    for name in names:
        yield FigureBound(figure=_figure(name), not_worse=True)


def _figure(name: str) -> Figure:
    found = _NAMES.get(name.strip().lower())
    if found is None:
        raise ClientError(f"There is no figure {name!r}.", f"Name one of {', '.join(_NAMES)}.")
    return found
