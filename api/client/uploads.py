"""Sending a file to where an upload takes it, and going on where a connection broke."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import httpx

from api.client.connection import is_loopback
from api.client.errors import ClientError, Refused, Unreachable
from api.client.record import Record

__all__ = ["Upload", "fingerprint", "send"]

BLOCK_BYTES: Final = 1024 * 1024
TIMEOUT_SECONDS: Final = 60.0
SILENCE_SECONDS: Final = 120.0
"""So long it is tried again while nothing gets through."""
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
_PASSING: Final = ("WRONG_OFFSET", "UPLOAD_BUSY", "INTERRUPTED", "UNAVAILABLE", "INTERNAL")
"""Refusals that another look at the offset, or some patience, gets over."""


class Upload(Record):
    """A file on its way in; `url` is a path on the server that takes it."""

    id: str
    name: str
    size_bytes: int | None
    received_bytes: int
    sha256: str | None
    url: str


async def fingerprint(file: Path) -> tuple[int, str]:
    """A file's size in bytes, and its sha256 in hex."""
    return await asyncio.to_thread(_fingerprint, file)


async def send(url: str, upload: Upload, file: Path, *, on_progress: Callable[[int], None]) -> None:
    """Send what the server lacks of a file, until it has it all and has found the sum right.

    A connection that breaks is made again, and goes on where the server says. Raises Refused where
    it would not take the file, Unreachable once nothing got through for two minutes.
    """
    clock = asyncio.get_running_loop().time
    moved, offset, pause = clock(), -1, FIRST_PAUSE_SECONDS
    timeout, trust_env = httpx.Timeout(TIMEOUT_SECONDS), not is_loopback(url)
    async with httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=trust_env) as http:
        while True:
            try:
                reached, complete = await _reached(http, upload)
                on_progress(reached)
                if complete:
                    return
                if reached > offset:
                    moved, offset, pause = clock(), reached, FIRST_PAUSE_SECONDS
                await _put(http, upload, file, reached, on_progress)
                continue
            except httpx.TransportError as error:
                problem: ClientError = Unreachable(
                    f"{upload.name} cannot be sent: {error!r}.", "Run the same again to go on."
                )
            except Refused as error:
                if error.code not in _PASSING:
                    raise
                problem = error
            if clock() - moved > SILENCE_SECONDS:
                raise problem
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _reached(http: httpx.AsyncClient, upload: Upload) -> tuple[int, bool]:
    """How much the server has, and whether that is all it needs."""
    response = await http.head(upload.url)
    if response.is_error:  # an answer to HEAD has no body to say why
        raise Refused(
            "UNAVAILABLE" if response.is_server_error else "NOT_FOUND",
            f"The server does not take {upload.name} at this address ({response.status_code}).",
            "Run the same again to get another.",
        )
    return int(response.headers["upload-offset"]), response.headers["upload-complete"] == "?1"


async def _put(
    http: httpx.AsyncClient,
    upload: Upload,
    file: Path,
    start: int,
    on_progress: Callable[[int], None],
) -> None:
    size = upload.size_bytes or 0
    headers = {
        "content-range": f"bytes {start}-{size - 1}/{size}" if start < size else f"bytes */{size}",
        "content-length": str(size - start),
    }
    blocks = _blocks(file, start, size, on_progress)
    response = await http.put(upload.url, content=blocks, headers=headers)
    if response.is_error:
        raise _refusal(response)


async def _blocks(
    file: Path, start: int, end: int, on_progress: Callable[[int], None]
) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while start < end:
            block = await asyncio.to_thread(source.read, min(BLOCK_BYTES, end - start))
            if not block:
                raise ClientError(f"{file} changed while it was sent.", "Run the same again.")
            yield block
            start += len(block)
            on_progress(start)


def _refusal(response: httpx.Response) -> Refused:
    try:
        error: dict[str, Any] = response.json()["errors"][0]
        extensions = error["extensions"]
        return Refused(extensions["code"], error["message"], extensions.get("remedy"))
    except (ValueError, KeyError, IndexError, TypeError):
        code = "UNAVAILABLE" if response.is_server_error else "ERROR"
        return Refused(code, f"The server answered {response.status_code} without a reason.")


def _fingerprint(file: Path) -> tuple[int, str]:
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        return source.tell(), digest
