"""Trying a version: a question, and its answer word by word."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, Url, run
from api.client import Client, ClientError
from api.client.generations import Conversation, GenerationParameters, GenerationUpdate

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Models and versions")(ask)


def ask(  # noqa: PLR0913  # each is an option of the verb
    version: Annotated[str, typer.Argument(help="The version's id.")],
    question: Annotated[str, typer.Argument(help="What the user says.")],
    system: Annotated[
        str | None, typer.Option(help="What the model is told to be, before that.")
    ] = None,
    base: Annotated[
        bool, typer.Option("--base", help="Have its base model answer, for a comparison.")
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of the answer at most.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token always.")] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the likeliest of this probability.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="What decides the drawing.")] = 0,
    url: Url = DEFAULT_URL,
) -> None:
    """Ask a version something, and read its answer as it comes."""
    turns = [("USER", question)]
    if system is not None:
        turns.insert(0, ("SYSTEM", system))
    conversation = Conversation(
        version_id=version,
        messages=tuple(turns),
        of_base=base,
        parameters=GenerationParameters(
            max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
        ),
    )

    async def listen(client: Client) -> GenerationUpdate | None:
        last = None
        async with aclosing(client.generate(conversation)) as updates:
            async for last in updates:
                await asyncio.to_thread(typer.echo, last.new_text, nl=False)
        return last

    last = run(url, listen)
    typer.echo()
    if last is None:
        raise ClientError("There was no answer.", "See that a worker runs: tunery workers")
    _report(last)


def _report(last: GenerationUpdate) -> None:
    error, ending = last.generation.error, last.generation.ending
    if error is not None:
        raise ClientError(f"There is no answer: {error.message}", error.remedy)
    if ending is not None:
        typer.echo(
            f"{ending.answer_tokens} tokens in {ending.seconds:.1f} s, the first after "
            f"{ending.first_seconds:.2f} s; {ending.reason.value}",
            err=True,
        )
