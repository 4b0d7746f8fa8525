"""The folder of one installation: its secret, its lock, its logs, and the settings that follow."""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic_settings import EnvSettingsSource

from jobs.errors import Conflict
from jobs.settings import Settings

__all__ = ["Home", "load_settings", "local_settings"]

LOCK_PATIENCE_SECONDS: Final = 3.0
"""How long the lock is tried: a server whose parent was just killed needs a moment to leave."""
LARGEST_LOG_BYTES: Final = 10 * 1024 * 1024


@dataclass(frozen=True)
class Home:
    """Where one installation keeps everything."""

    folder: Path

    @property
    def secret_file(self) -> Path:
        """Holds what signs every token; readable by its owner alone."""
        return self.folder / "secret"

    @property
    def valkey(self) -> Path:
        """The working folder of the Redis or Valkey server that `up` starts."""
        return self.folder / "valkey"

    def log(self, name: str) -> Path:
        """The log of one of the processes."""
        return self.folder / "logs" / f"{name}.log"

    def create(self) -> None:
        """Make the folders and the secret where they are missing."""
        for folder in (self.folder, self.valkey, self.folder / "logs"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.secret_file.exists():
            write_private(self.secret_file, secrets.token_urlsafe(48))

    def fresh_log(self, name: str) -> Path:
        """The log, with what is there moved to `.1` once it has grown large."""
        log = self.log(name)
        if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
        return log

    @contextmanager
    def locked(self, url: str) -> Iterator[int]:
        """Hold the home for this process; yields the lock's descriptor.

        Who inherits the descriptor holds the home too: the server that writes in it keeps it
        locked until it is gone. Raises Conflict, naming the holder, where another has it.
        """
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}, {url}".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace")
                    raise Conflict(
                        f"Tunery is already up on {self.folder} ({holder}).",
                        "Use that one, stop it first, or give another folder with --home.",
                    ) from None
                time.sleep(0.1)
            else:
                return


def local_settings(given: dict[str, object]) -> Settings:
    """The settings of `up`: as `load_settings`, in development mode where nothing else is said.

    Makes the home and its secret where they are missing.
    """
    Home(_home(given)).create()
    return load_settings({"environment": "development", **_from_environment(), **given})


def load_settings(given: dict[str, object]) -> Settings:
    """The environment's settings, with `given` above them and the home's secret below them.

    Raises pydantic's `ValidationError` on a bad value, and where there is no secret anywhere.
    """
    secret_file = Home(_home(given)).secret_file
    found = {**_from_environment(), **given}
    if "secret" not in found and secret_file.exists():
        found["secret"] = secret_file.read_text()
    return Settings.model_validate(found)


def write_private(path: Path, text: str) -> None:
    """Put a whole file in place that its owner alone can read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _home(given: dict[str, object]) -> Path:
    home = {**_from_environment(), **given}.get("home")
    if home is None:
        home = Settings.model_fields["home"].get_default(call_default_factory=True)
    return Path(str(home)).expanduser()


def _from_environment() -> dict[str, object]:
    return dict(EnvSettingsSource(Settings)())
