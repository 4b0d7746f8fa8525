"""The verbs that run the service or work on its database.

The service's libraries take a second to import, so each verb imports what it needs: those that
only speak to a server must not wait for it.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from api.cli.accounts import read_password
from api.local.home import load_settings, local_settings
from api.local.lifeline import exit_with_parent as exit_at_end_of_input
from jobs.access import Role
from jobs.errors import Unavailable
from jobs.settings import Settings

__all__ = ["add_to"]

ResultT = TypeVar("ResultT")

Home = Annotated[
    Path | None,
    typer.Option(help="The folder that keeps everything.", show_default="~/.local/share/tunery"),
]
Host = Annotated[
    str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The port to listen on.", show_default="8000")
]
ExitWithParent = Annotated[
    bool, typer.Option("--exit-with-parent", help="End when the standard input ends.")
]
SHUTDOWN_SECONDS = 10


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "The service"
    app.command(rich_help_panel=panel)(up)
    app.command(rich_help_panel=panel)(serve)
    app.command(rich_help_panel=panel)(worker)
    app.command(rich_help_panel=panel)(migrate)
    app.command("create-user", rich_help_panel=panel)(create_user)
    app.command("print-schema", rich_help_panel=panel)(print_schema)


def up(
    home: Home = None,
    host: Host = None,
    port: Port = None,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Run everything on this machine: Redis, API and worker. Stop it with Ctrl+C."""
    from api.local.up import up as run

    if exit_with_parent:
        exit_at_end_of_input()
    settings = local_settings(_given(home, host, port))
    _log_to_stderr(logging.WARNING)

    def announce(url: str) -> None:
        options = "" if home is None else f" --home {home}"
        ide = f" · GraphiQL: {url}/graphql" if settings.environment == "development" else ""
        account = f"tunery create-user you@example.org{options}"
        typer.echo(f"Tunery is ready at {url}{ide} · make the first account with: {account}")
        sys.stdout.flush()

    typer.echo(f"Starting on {settings.home} …", err=True)
    asyncio.run(run(settings, announce=announce))


def serve(
    home: Home = None,
    host: Host = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="How many processes serve.")] = 1,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Serve the API."""
    import uvicorn

    if exit_with_parent:
        exit_at_end_of_input()
    _log_to_stderr(logging.INFO)
    given = _given(home, host, port)
    settings = load_settings(given)
    os.environ.update({f"TUNERY_{name.upper()}": str(value) for name, value in given.items()})
    uvicorn.run(
        "api.cli.server:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,  # costs a quarter more CPU and 40 kB a follower
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def application() -> object:
    """The ASGI application of one serving process, from the environment's settings."""
    from api.app import create_app

    _log_to_stderr(logging.INFO)
    return create_app(load_settings({}))


def worker(home: Home = None, exit_with_parent: ExitWithParent = False) -> None:
    """Run the jobs that wait."""
    from jobs.worker import run_worker

    if exit_with_parent:
        exit_at_end_of_input()
    _log_to_stderr(logging.INFO)
    asyncio.run(run_worker(load_settings(_given(home))))


def migrate(home: Home = None) -> None:
    """Bring the database up to date."""
    from jobs.database import migrate as apply

    applied = _run(apply(load_settings(_given(home))))
    typer.echo(f"Applied: {', '.join(applied)}" if applied else "The database is up to date.")


def create_user(
    email: Annotated[str, typer.Argument(help="The account's address.")],
    role: Annotated[Role, typer.Option(help="What the account may do.")] = Role.ADMIN,
    home: Home = None,
) -> None:
    """Make an account, straight in the database.

    The password is asked for; without a terminal it is taken from TUNERY_PASSWORD, or is the
    first line of the standard input.
    """
    settings = load_settings(_given(home))
    made = _run(_create_user(settings, email, read_password(confirm=True), role=role))
    typer.echo(f"Made the account {made} with the role {role.value}.")


async def _create_user(settings: Settings, email: str, password: str, *, role: Role) -> str:
    from jobs import accounts
    from jobs.database import connect

    async with connect(settings):
        user = await accounts.create_user(email, password, role)
        return user.email


def print_schema() -> None:
    """Print the API's GraphQL schema."""
    from schema.root import build_schema

    typer.echo(build_schema().as_str())


def _run(work: Coroutine[None, None, ResultT]) -> ResultT:
    """Run work on the database; what the database says of itself becomes one clear error."""
    from tortoise.exceptions import BaseORMException, IntegrityError

    try:
        return asyncio.run(work)
    except IntegrityError:
        raise
    except BaseORMException as error:
        raise Unavailable(
            f"The database cannot be used: {error}.",
            "Check TUNERY_HOME and TUNERY_DATABASE_URL, and run: tunery migrate",
        ) from error


def _given(
    home: Path | None, host: str | None = None, port: int | None = None
) -> dict[str, object]:
    options = {"home": home.absolute() if home else None, "host": host, "port": port}
    return {name: value for name, value in options.items() if value is not None}


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
