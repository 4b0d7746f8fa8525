"""Following something live for as long as the viewer's token holds."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TypeVar

from jobs.access import Viewer
from jobs.errors import Unauthenticated

__all__ = ["while_authenticated"]

ValueT = TypeVar("ValueT")


async def while_authenticated(
    viewer: Viewer, values: AsyncGenerator[ValueT, None]
) -> AsyncGenerator[ValueT, None]:
    """The values, until the viewer's token expires: then Unauthenticated, even while none comes."""
    async with aclosing(values):
        while True:
            try:
                async with asyncio.timeout(_seconds_left(viewer)):
                    value = await anext(values)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise Unauthenticated(
                    "The access token expired while you were following.",
                    "Get a new one with the mutation refreshToken, and go on from the last seq.",
                ) from error
            yield value


def _seconds_left(viewer: Viewer) -> float | None:
    if viewer.expires_at is None:
        return None
    return (viewer.expires_at - datetime.now(UTC)).total_seconds()
