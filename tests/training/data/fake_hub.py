"""A hub on this machine: the few endpoints that `huggingface_hub` asks for a dataset."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

COMMIT = "1" * 40
CONVERTED = "2" * 40


@dataclass
class Repository:
    """What one commit of a dataset holds, and who may see it."""

    files: dict[str, bytes]
    card: dict[str, object] = field(default_factory=dict)
    converted: dict[str, bytes] | None = None
    gated_for: str | None = None
    """Open with this token alone."""


@dataclass
class Hub:
    """Repositories by id, and what was asked."""

    repositories: dict[str, Repository]
    endpoint: str = ""
    requests: list[str] = field(default_factory=list)
    break_after: int | None = None
    """The bytes after which the next download breaks off."""
    held: Event | None = None
    """What downloads wait for before they answer."""


@contextmanager
def running_hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    hub = Hub(repositories)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file(with_content=False)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{path} {self.headers.get('Range', '')}".strip())
        if path.startswith("/api/datasets/"):
            self._info(path.removeprefix("/api/datasets/"))
        else:
            self._file(with_content=True)

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
        siblings = [{"rfilename": name, "size": len(held)} for name, held in files.items()]
        answer = {"id": repository_id, "sha": commit, "siblings": siblings}
        self._answer(json.dumps(answer | {"cardData": repository.card}).encode())

    def _file(self, *, with_content: bool) -> None:
        repository_id, _, rest = (
            urlsplit(self.path).path.removeprefix("/datasets/").partition("/resolve/")
        )
        revision, _, name = rest.partition("/")
        repository = self._repository(repository_id)
        if repository is None:
            return
        found = self._revision(repository, unquote(revision))
        if found is None or unquote(name) not in found[1]:
            self._refuse(404, "EntryNotFound")
            return
        commit, files = found
        content = files[unquote(name)]
        etag = hashlib.sha256(content).hexdigest()
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if with_content and self.hub.held is not None:
            self.hub.held.wait(20)
        cut = self.hub.break_after if with_content else None
        if with_content:
            self.hub.break_after = None
        self._answer(
            content[start:],
            status=206 if start else 200,
            headers=headers,
            with_content=with_content,
            cut=cut,
        )

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._refuse(404, "RepoNotFound")
            return None
        token = repository.gated_for
        if token is not None and self.headers.get("Authorization") != f"Bearer {token}":
            self._refuse(403, "GatedRepo")
            return None
        return repository

    def _revision(self, repository: Repository, name: str) -> tuple[str, dict[str, bytes]] | None:
        if name in ("main", COMMIT):
            return COMMIT, repository.files
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
        with_content: bool = True,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # who asked may be gone
            self.end_headers()
            if with_content:
                self.wfile.write(content[:cut])
        self.close_connection = cut is not None
