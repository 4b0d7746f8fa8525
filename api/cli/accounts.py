"""Logging in and out."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from api.cli import credentials
from api.cli.connecting import DEFAULT_URL, AsJson, Url, run
from api.cli.output import print_json
from api.client import Client
from api.client.results import Session

__all__ = ["add_to", "read_password"]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Your account"
    app.command(rich_help_panel=panel)(login)
    app.command(rich_help_panel=panel)(logout)
    app.command(rich_help_panel=panel)(whoami)


def login(
    email: Annotated[str, typer.Argument(help="The account's address.")], url: Url = DEFAULT_URL
) -> None:
    """Log in, and keep the session for the next commands.

    The password is asked for; without a terminal it is taken from TUNERY_PASSWORD, or is the
    first line of the standard input.
    """
    credentials.store(url, asyncio.run(_login(url, email, read_password(confirm=False))))
    typer.echo(f"Logged in at {url} as {email}.")


async def _login(url: str, email: str, password: str) -> Session:
    async with Client(url) as client:
        return await client.login(email, password)


def logout(url: Url = DEFAULT_URL) -> None:
    """Forget the session kept for a server."""
    known = credentials.forget(url)
    typer.echo(f"Logged out of {url}." if known else f"You were not logged in at {url}.")


def whoami(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show whose session it is."""
    user = run(url, lambda client: client.me())
    if as_json:
        print_json(user)
    else:
        typer.echo(f"{user.email} ({user.role.value}) at {url}")


def read_password(*, confirm: bool) -> str:
    """From TUNERY_PASSWORD, a prompt on a terminal, or the first line of the standard input."""
    from_environment = os.environ.get("TUNERY_PASSWORD")
    if from_environment:
        return from_environment
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm))
    return sys.stdin.readline().rstrip("\n")
