"""One file of the hub on its way here: it goes on behind what is there, and is compared at its end.

`huggingface_hub` brings files here, too, but since its version 1.31 keeps nothing of a file whose
download was stopped. Its session, headers and errors are used; what lies on the disk is ours.
"""

import hashlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final

import httpx2
from huggingface_hub import get_session, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # lazy

from training.data.hub.errors import HubUnavailable
from training.data.hub.patience import Patience
from training.data.hub.plan import HubFile

__all__ = ["download"]

TIMEOUT_SECONDS: Final = 30.0
"""Without a byte; then the connection is taken for lost."""
_BLOCK_BYTES: Final = 1 << 18
_TRIES: Final = 2
"""So often a file may come whole and yet be another."""


def download(
    url: str, wanted: HubFile, path: Path, *, patience: Patience, told: Callable[[int], None]
) -> None:
    """Have the file whole at `path`; `told` hears how many bytes of it are here.

    What an earlier process left of the same content is gone on behind. The url is asked anew after
    each break, as what it redirects to is signed for an hour. Raises `HubUnavailable` where the
    content is not what the plan says, and what the hub raises once patience is at its end.
    """
    content = wanted.sha256 or wanted.git_id or str(wanted.size_bytes)
    partial = path.with_name(f"{path.name}.{content}.partial")
    with partial.open("a+b", buffering=0) as file:  # a kill loses nothing that came
        for _ in range(_TRIES):
            arrival = _Arrival(file, wanted, told)
            while not arrival.is_whole:
                patience.answer(lambda: _go_on(url, arrival, patience))  # noqa: B023  # called at once
            if arrival.is_right:
                break
            file.truncate(0)
        else:
            raise HubUnavailable(
                "HUB_FILE_DIFFERS",
                f"what comes of {wanted.name} is not what the hub says it has",
                "Try again later, or without the mirror or proxy in between.",
            )
    partial.replace(path)


class _Arrival:
    """What is there of a file, and its digest, which can only be had by reading all of it."""

    def __init__(self, file: FileIO, wanted: HubFile, told: Callable[[int], None]) -> None:
        self._file = file
        self._wanted = wanted
        self._told = told
        self._most_bytes = 0
        self._begin()
        file.seek(0)
        while block := file.read(_BLOCK_BYTES):
            self._count(block)

    @property
    def is_whole(self) -> bool:
        """Whether nothing more can come of it."""
        return self.size_bytes >= self._wanted.size_bytes

    @property
    def is_right(self) -> bool:
        """Whether it is the file that was planned."""
        known = self._wanted.sha256 or self._wanted.git_id
        same = known is None or known == self._digest.hexdigest()
        return same and self.size_bytes == self._wanted.size_bytes

    def add(self, block: bytes) -> bool:
        """Write what came; whether there is now more than there ever was."""
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]
        most = self._most_bytes
        self._count(block)
        return self._most_bytes > most

    def drop(self) -> None:
        """Begin anew."""
        self._file.truncate(0)
        self._begin()

    def _begin(self) -> None:
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        if self._wanted.sha256 is None:  # git's own digest begins with the size
            self._digest = hashlib.sha1(
                f"blob {self._wanted.size_bytes}\0".encode(), usedforsecurity=False
            )

    def _count(self, block: bytes) -> None:
        self._digest.update(block)
        self.size_bytes += len(block)
        self._most_bytes = max(self._most_bytes, self.size_bytes)
        self._told(self.size_bytes)


def _go_on(url: str, arrival: _Arrival, patience: Patience) -> None:
    """Take what comes until the file is whole; a transport error where it breaks off before."""
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if arrival.size_bytes:
        headers["Range"] = f"bytes={arrival.size_bytes}-"
    # the client leaves the token out where it is sent on to another host
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response:
        hf_raise_for_status(response)
        if not _begins_at(response, arrival.size_bytes):
            arrival.drop()
        for (
            block
        ) in response.iter_bytes():  # as they come: gathered ones would be lost with a break
            if arrival.add(block):
                patience.renew()
            if arrival.is_whole:
                return
    if not arrival.is_whole:
        raise httpx2.ReadError(f"the file ended after {arrival.size_bytes:,} bytes")


def _begins_at(response: httpx2.Response, offset: int) -> bool:
    """Whether the part that was asked for comes, and not all of the file."""
    return response.headers.get("Content-Range", "bytes 0-").startswith(f"bytes {offset}-")
