"""Clients of the server under test that are logged in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.client import Client
from api.client.results import Session
from jobs.access import Viewer
from jobs.models import User
from jobs.service import Service
from tests.factories import make_viewer


async def session_of(viewer: Viewer, service: Service) -> Session:
    issued = service.tokens.issue(await User.get(id=viewer.user_id))
    return Session(
        access_token=issued.access_token,
        refresh_token=issued.refresh_token,
        expires_at=issued.expires_at,
    )


@asynccontextmanager
async def logged_in(
    server: str, service: Service, viewer: Viewer | None = None
) -> AsyncIterator[Client]:
    session = await session_of(viewer or await make_viewer(), service)
    async with Client(f"http://{server}", session) as client:
        yield client
