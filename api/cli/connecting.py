"""From a verb to a server: the address, the session, and one event loop."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Final, TypeVar

import typer

from api.cli import credentials
from api.client import Client, ClientError, NotLoggedIn
from api.client.results import Session
from jobs.status import TaskStatus

__all__ = ["After", "AsJson", "First", "Url", "connected", "dataset_id", "run"]

ResultT = TypeVar("ResultT")

DEFAULT_URL: Final = "http://127.0.0.1:8000"

Url = Annotated[str, typer.Option("--url", envvar="TUNERY_URL", help="The server's address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
First = Annotated[int, typer.Option(min=1, max=100, help="How many to list.")]
After = Annotated[str | None, typer.Option(help="Go on behind this place in the list.")]


def run(url: str, work: Callable[[Client], Awaitable[ResultT]]) -> ResultT:
    """Do something with a client of that server, for the account that is logged in."""

    async def inside() -> ResultT:
        async with connected(url) as client:
            return await work(client)

    return asyncio.run(inside())


async def dataset_id(client: Client, name: str) -> str:
    """The id of a dataset that was given by its id, or by its name: the newest counts."""
    if name.startswith("dataset_"):
        return name
    after = None
    while True:
        page = await client.datasets(100, after)
        for each in page.nodes:
            if each.name == name and each.status is not TaskStatus.FAILED:
                return each.id
        if not page.has_next_page:
            raise ClientError(
                f"There is no dataset {name!r} that you can see.",
                "List them with: tunery datasets",
            )
        after = page.end_cursor


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client with the token in TUNERY_TOKEN, or else the session that `login` kept."""
    token = os.environ.get("TUNERY_TOKEN")
    if token:
        async with Client(url, Session(access_token=token)) as client:
            yield client
        return
    session = credentials.load(url)
    if session is None:
        raise NotLoggedIn(
            "UNAUTHENTICATED",
            f"You are not logged in at {url}.",
            f"Run: tunery login --url {url}. Or set TUNERY_TOKEN.",
        )
    async with Client(
        url, session, on_refresh=lambda renewed: credentials.store(url, renewed)
    ) as client:
        yield client
