"""What a kind of work is that a child process answers once."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.models.base import Leased
from jobs.settings import Settings
from jobs.status import TaskStatus
from training.events import Failure

__all__ = ["Task"]


class Task(ABC):
    """A kind of work whose row is a `Leased` table with `status` and `error`."""

    table: ClassVar[type[Leased]]
    tells_progress: ClassVar[bool] = False
    """Whether its child writes a file `progress`, and its row has a column for it."""

    @abstractmethod
    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """Where the child works."""

    @abstractmethod
    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """Write the spec; the child's module and its arguments."""

    @abstractmethod
    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """What a good answer sets in the row."""

    async def refusal(self, row_id: UUID, settings: Settings) -> Failure | None:
        """Why the child at work is to be ended, and the row FAILED; asked at each beat."""
        del row_id, settings
        return None

    async def settle(  # noqa: B027 - most kinds have nothing else to change
        self, row_id: UUID, status: TaskStatus, settings: Settings
    ) -> None:
        """Change what else there is, in the transaction that gives the row this status."""

    def crash(self, exit_code: int) -> Failure | None:
        """What a death by this exit code says of this work; None where no more than of any other."""
        del exit_code
        return None
