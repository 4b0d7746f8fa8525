"""The sessions that `tunery login` keeps, by the server's address, readable by their owner alone."""

import json
import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from api.client import ClientError
from api.client.results import Session
from api.local.home import write_private

__all__ = ["credentials_file", "forget", "load", "store"]

_SESSIONS = TypeAdapter(dict[str, Session])


def credentials_file() -> Path:
    """Where they lie."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "tunery" / "credentials.json"


def load(url: str) -> Session | None:
    """The session kept for a server. ClientError where the file cannot be understood."""
    return _read().get(url.rstrip("/"))


def store(url: str, session: Session) -> None:
    """Keep a session for a server."""
    _write({**_read(), url.rstrip("/"): session})


def forget(url: str) -> bool:
    """Drop the session of a server; False where there was none."""
    sessions = _read()
    known = sessions.pop(url.rstrip("/"), None) is not None
    if known:
        _write(sessions)
    return known


def _read() -> dict[str, Session]:
    file = credentials_file()
    try:
        return _SESSIONS.validate_json(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise ClientError(
            f"The credentials in {file} cannot be read.",
            "Delete the file and log in again with: tunery login",
        ) from error


def _write(sessions: dict[str, Session]) -> None:
    file = credentials_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(file, json.dumps(_SESSIONS.dump_python(sessions, mode="json"), indent=2))
