"""Fetching the files of an export, each checked against its sum before it has its name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import httpx

from api.client.errors import ClientError, Unreachable
from api.client.exports import ExportFile

__all__ = ["download"]


async def download(url: str, files: Sequence[ExportFile], folder: Path) -> None:
    """Put the files into a folder.

    Raises ClientError for a file that does not match its checksum or whose name leads out of the
    folder, Unreachable where the server cannot be asked.
    """
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
        for file in files:
            target = folder / _safe(file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            await _fetch(client, file, target)


async def _fetch(client: httpx.AsyncClient, file: ExportFile, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as sink:
            async with client.stream("GET", file.download_url) as response:
                response.raise_for_status()
                async for chunk in response.aiter_bytes():
                    digest.update(chunk)
                    sink.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise ClientError(
                f"{file.name} arrived damaged: its sha256 is {digest.hexdigest()}, "
                f"not {file.sha256}.",
                "Fetch it again.",
            )
        partial.replace(target)
    except httpx.HTTPError as error:
        raise Unreachable(f"{file.name} cannot be fetched: {error}.", "Try again.") from error
    finally:
        partial.unlink(missing_ok=True)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ClientError(f"The server names a file {name!r}, which leads out of the folder.")
    return path
