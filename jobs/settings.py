"""The only reader of the environment: every switch of the service, checked before it starts."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]


def _default_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "tunery"


class Settings(BaseSettings):
    """Read from `TUNERY_*` variables. Times in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="TUNERY_", frozen=True, extra="forbid")

    home: Path = Field(default_factory=_default_home)
    """Where everything lies that this installation keeps: database, artifacts, logs."""
    database_url: str = ""
    """`sqlite:///path` or `postgres://…`; a SQLite file in `home` where empty."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    secret: SecretStr
    """Signs every token; at least 32 characters. Whoever knows it is everybody."""
    environment: Literal["development", "production"] = "production"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    access_token_seconds: int = Field(default=15 * 60, ge=10)
    refresh_token_seconds: int = Field(default=30 * 24 * 3600, ge=60)
    download_seconds: int = Field(default=15 * 60, ge=10)
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    max_upload_bytes: int = Field(default=10 * 1024**3, ge=1)
    """The largest file that may be uploaded, and the most that is fetched of the hub for one dataset."""
    upload_quota_bytes: int = Field(default=20 * 1024**3, ge=1)
    """What one account's uploads, until they are used or expire, and what is fetched of the hub for it, until
    it was read, may take up together."""
    upload_seconds: int = Field(default=24 * 3600, ge=60)
    """An upload that no dataset was made of within so long is removed, whole or not."""
    worker_slots: int = Field(default=1, ge=1, le=64)
    """How many training jobs one worker runs at a time, beside one export, one model check and one
    ingest."""
    worker_devices: int = Field(default=0, ge=0, le=1024)
    """How many devices one worker's jobs may use; 0 is all CUDA devices, or 1 without any. On a CPU
    processes stand for devices."""
    worker_threads: int = Field(default=0, ge=0)
    """Threads of each job; 0 shares the machine's cores among the slots."""
    serving_bytes: int = Field(default=0, ge=0)
    """What the weights of models may take that a worker keeps loaded to answer; 0 is a quarter of the
    machine's memory. Who is not asked for five minutes lets go of it."""
    answer_seconds: int = Field(default=30 * 24 * 3600, ge=60)
    """An answer that was asked of a version is deleted after so long."""
    lease_seconds: float = Field(default=30.0, ge=3)
    """A worker that has not been heard of for so long is taken for dead."""
    sweep_seconds: int = Field(default=10, ge=1, le=60)
    stop_grace_seconds: float = Field(default=60.0, ge=1)
    """From asking a child to save and leave until it is killed."""
    silence_seconds: float = Field(default=600.0, ge=5)
    """A child that does not advance for so long is hung, and is killed; training starts again."""
    max_crashes: int = Field(default=5, ge=1)
    """After so many crashed attempts a job is FAILED instead of tried again."""
    model_roots: tuple[Path, ...] = ()
    """Folders below which a TRAINER may register a model; an ADMIN may anywhere."""
    default_epochs: int | None = None
    default_learning_rate: float | None = None
    default_batch_size: int | None = None
    default_validation_split: float | None = None

    @model_validator(mode="after")
    def _refuse_unknown_servers(self) -> "Settings":
        if not self.database.startswith(("sqlite://", "postgres://", "postgresql://")):
            raise ValueError("TUNERY_DATABASE_URL must begin with sqlite:// or postgres://")
        if not self.redis_url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("TUNERY_REDIS_URL must begin with redis://, rediss:// or unix://")
        return self

    @model_validator(mode="after")
    def _refuse_weak_secret(self) -> "Settings":
        if len(self.secret.get_secret_value()) < 32:
            raise ValueError(
                "TUNERY_SECRET must have at least 32 characters; "
                'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        return self

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite://{self.home / 'tunery.db'}"

    @property
    def artifacts(self) -> Path:
        """The folder under which datasets, runs and exports lie."""
        return self.home / "artifacts"

    @property
    def threads(self) -> int:
        """Threads for one job, over all its processes."""
        return self.worker_threads or max(1, (os.cpu_count() or 1) // self.worker_slots)

    @property
    def serving(self) -> int:
        """Bytes of weights that a worker may keep loaded to answer."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return self.serving_bytes or memory // 4

    def run_defaults(self) -> dict[str, object]:
        """Those defaults of a training config that the operator has set."""
        defaults: dict[str, object | None] = {
            "epochs": self.default_epochs,
            "learning_rate": self.default_learning_rate,
            "batch_size": self.default_batch_size,
            "validation_split": self.default_validation_split,
        }
        return {name: value for name, value in defaults.items() if value is not None}
