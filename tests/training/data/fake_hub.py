"""A hub on this machine: the few endpoints that are asked for a dataset, answered as the real one does.

A file that git holds comes from the hub itself, and its ETag is git's id. One in large file storage is
elsewhere: the hub redirects to a signed address of another host, and tells size and sha256 in
`X-Linked-Size` and `X-Linked-Etag`; that host refuses a request which brings a token.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "1" * 40
CONVERTED = "2" * 40
LARGE = ("parquet",)
"""The endings of what is in large file storage."""


@dataclass
class Repository:
    """What one commit of a dataset holds, and who may see it."""

    files: dict[str, bytes]
    card: dict[str, object] = field(default_factory=dict)
    converted: dict[str, bytes] | None = None
    gated_for: str | None = None
    """Its files are open with this token alone; that they are there, anybody may see."""


@dataclass
class Hub:
    """Repositories by id, and what was asked."""

    repositories: dict[str, Repository]
    endpoint: str = ""
    storage: str = ""
    """The other host."""
    requests: list[str] = field(default_factory=list)
    """Of the API and of contents, at whichever host; not the redirects."""
    commit: str = COMMIT
    """The newest of every repository."""
    break_after: int | None = None
    """The bytes after which the next download breaks off."""
    held: Event | None = None
    """What downloads wait for before they answer, or where one breaks off, before it does."""
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Status and headers of the next answers."""
    knows_ranges: bool = True
    damaged: int = 0
    """How many of the next downloads have a wrong byte."""


@contextmanager
def running_hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    hub = Hub(repositories)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with _serving(Handler) as hub.endpoint, _serving(Handler) as hub.storage:
        yield hub


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        is_storage = self.headers["Host"] == urlsplit(self.hub.storage).netloc
        if not is_storage and self.hub.refusals:
            status, headers = self.hub.refusals.pop(0)
            self._answer(b"", status=status, headers=headers)
        elif path.startswith("/api/datasets/"):
            self._note(path)
            self._info(path.removeprefix("/api/datasets/"))
        elif is_storage and "Authorization" in self.headers:
            self._refuse(400, "OnlyOneAuthMechanismAllowed")
        else:
            self._file(path, is_storage=is_storage)

    def _note(self, path: str) -> None:
        self.hub.requests.append(f"{path} {self.headers.get('Range', '')}".strip())

    def _info(self, path: str) -> None:
        repository_id, _, revision = path.partition("/revision/")
        repository = self._repository(repository_id)
        if repository is None:
            return
        found = self._revision(repository, unquote(revision) or "main")
        if found is None:
            self._refuse(404, "RevisionNotFound")
            return
        commit, files = found
        with_blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [
            {"rfilename": name} | (_blob(name, held) if with_blobs else {})
            for name, held in files.items()
        ]
        answer = {"id": repository_id, "sha": commit, "siblings": siblings}
        self._answer(json.dumps(answer | {"cardData": repository.card}).encode())

    def _file(self, path: str, *, is_storage: bool) -> None:
        repository_id, _, rest = path.removeprefix("/datasets/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        repository = self._repository(repository_id)
        if repository is None:
            return
        token = self.headers.get("Authorization")
        if not is_storage and repository.gated_for and token != f"Bearer {repository.gated_for}":
            self._refuse(401 if token is None else 403, "GatedRepo")
            return
        found = self._revision(repository, unquote(revision))
        if found is None:
            self._refuse(404, "RevisionNotFound")
        elif unquote(name) not in found[1]:
            self._refuse(404, "EntryNotFound")
        elif name.endswith(LARGE) and not is_storage:
            self._redirect(found[0], found[1][unquote(name)])
        else:
            self._note(path)
            self._content(found[0], found[1][unquote(name)])

    def _redirect(self, commit: str, content: bytes) -> None:
        headers = {
            "Location": f"{self.hub.storage}{urlsplit(self.path).path}?signature=1",
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(content)),
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
        }
        self._answer(b"", status=302, headers=headers)

    def _content(self, commit: str, content: bytes) -> None:
        headers = {"ETag": f'"{_git_id(content)}"', "X-Repo-Commit": commit}
        start = 0
        if self.hub.knows_ranges:
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if self.hub.held is not None and self.hub.break_after is None:
            self.hub.held.wait(20)
        cut, self.hub.break_after = self.hub.break_after, None
        if self.hub.damaged:
            self.hub.damaged -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._answer(content[start:], status=206 if start else 200, headers=headers, cut=cut)

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            is_known = "Authorization" in self.headers
            self._refuse(404 if is_known else 401, "RepoNotFound")
        return repository

    def _revision(self, repository: Repository, name: str) -> tuple[str, dict[str, bytes]] | None:
        if name in ("main", self.hub.commit):
            return self.hub.commit, repository.files
        if name in ("refs/convert/parquet", CONVERTED) and repository.converted is not None:
            return CONVERTED, repository.converted
        return None

    def _refuse(self, status: int, code: str) -> None:
        self._answer(b"", status=status, headers={"X-Error-Code": code})

    def _answer(
        self,
        content: bytes,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # who asked may be gone
            self.end_headers()
            self.wfile.write(content[:cut])
        if cut is not None and self.hub.held is not None:
            self.hub.held.wait(20)
        self.close_connection = cut is not None


def _blob(name: str, content: bytes) -> dict[str, object]:
    """What the API tells of a file where it is asked for blobs."""
    blob: dict[str, object] = {"size": len(content), "blobId": _git_id(content)}
    if name.endswith(LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        blob["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
    return blob


def _git_id(content: bytes) -> str:
    return hashlib.sha1(
        f"blob {len(content)}\0".encode() + content, usedforsecurity=False
    ).hexdigest()
