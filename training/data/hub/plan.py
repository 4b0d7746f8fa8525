"""What is fetched of the hub: settled at the first look, and kept beside the files until all are here.

Whoever goes on after a stop takes the plan that is there, so that all files are of one commit however
far the revision has moved meanwhile. No network here, and no library of the hub's.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from training.config import Frozen
from training.files import write_whole

__all__ = ["HubFile", "HubSplit", "Plan", "keep_plan", "kept_plan"]

_PLAN: Final = "plan.json"


class HubSplit(NamedTuple):
    """What of the hub is wanted. Without a configuration it is the only or the default one,
    without a revision the newest."""

    repository: str
    split: str
    config: str | None = None
    revision: str | None = None


class HubFile(Frozen):
    """A file of a repository at one commit."""

    name: str
    """Its path there."""
    size_bytes: int
    sha256: str | None = None
    """Of a file in large file storage."""
    git_id: str | None = None
    """The SHA-1 of a file that git itself holds, as git computes it."""


class Plan(Frozen):
    """The files of a split, in the order of their rows."""

    wanted: HubSplit
    config: str
    commit: str
    """Of the repository, in full: with it the same files can be had again."""
    is_partial: bool
    """Whether the hub converted the beginning alone, which it does with very large datasets."""
    files: tuple[HubFile, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)


def kept_plan(folder: Path) -> Plan | None:
    """The plan by which files gather in a folder; None where there is none yet."""
    with suppress(FileNotFoundError, ValueError):
        return Plan.model_validate(json.loads((folder / _PLAN).read_bytes()))
    return None


def keep_plan(plan: Plan, folder: Path) -> None:
    """Settle by which plan files gather in a folder. What strangers named may have halves of characters,
    which `json` escapes and pydantic refuses."""
    write_whole(folder / _PLAN, json.dumps(plan.model_dump(mode="json")).encode())
