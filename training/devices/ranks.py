"""Which of a run's processes this one is: told by the environment, as torchrun tells it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

MASTER_ADDRESS: Final = "MASTER_ADDR"
"""Where torchrun's processes meet; ours, on one machine, meet over a file in the job's folder."""


class Place(NamedTuple):
    """One process among the `size` that train a run together; `rank` counts from 0.

    The process of rank 0 leads: it alone writes events, checkpoints and the model.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """The rank among the processes of this machine, which names the device."""
    local_size: int = 1
    """How many of them there are."""

    def environment(self) -> dict[str, str]:
        """The variables that tell a child process this place."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
        }


ALONE: Final = Place()


def place_in(environment: Mapping[str, str]) -> Place:
    """The place that the environment tells; the only one there is where it tells of none.

    Raises ValueError where a variable is no number.
    """
    rank = int(environment.get("RANK", "0"))
    size = int(environment.get("WORLD_SIZE", "1"))
    return Place(
        rank,
        size,
        int(environment.get("LOCAL_RANK", str(rank))),
        int(environment.get("LOCAL_WORLD_SIZE", str(size))),
    )


def meeting_file(job_dir: Path) -> Path:
    """Where the processes of one machine find one another."""
    return _folder(job_dir) / "meeting"


def word_file(job_dir: Path, rank: int) -> Path:
    """Where the process of this rank leaves its last word, an event, for its launcher."""
    return _folder(job_dir) / f"rank-{rank}.jsonl"


def ask_file(job_dir: Path, rank: int) -> Path:
    """Where the process of this rank asks its launcher to start all of them again."""
    return _folder(job_dir) / f"rank-{rank}-asks.json"


def clear(job_dir: Path) -> None:
    """Forget what the processes of a former attempt left."""
    folder = _folder(job_dir)
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def _folder(job_dir: Path) -> Path:
    return job_dir / "ranks"
