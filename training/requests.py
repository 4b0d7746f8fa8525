"""A checkpoint that is asked for from outside, by a file in the job's folder.

A file outlives both processes: a request made while the child still prepares, or just before it is
killed, is found by whoever steps next. No torch here: the asking side has none.
"""

from pathlib import Path
from typing import Final

_ASKED: Final = "save-requested"
_TAKEN: Final = "save-taken"


def ask_for_checkpoint(job_dir: Path) -> None:
    """Ask the folder's child for a checkpoint at its next step boundary; asked twice before then,
    it saves one."""
    job_dir.mkdir(parents=True, exist_ok=True)
    (job_dir / _ASKED).touch()


class SaveRequests:
    """The child's side: a request is taken, then served, then forgotten.

    What is asked between taking and serving is a request of its own; what was taken and never
    served, because the child was killed, is found again.
    """

    def __init__(self, job_dir: Path) -> None:
        self._asked = job_dir / _ASKED
        self._taken = job_dir / _TAKEN

    def take(self) -> bool:
        """Whether a checkpoint is to be saved now; some microseconds where none is."""
        if self._asked.exists():
            self._asked.replace(self._taken)
        return self._taken.exists()

    def served(self) -> None:
        """The checkpoint that was asked for lies on disk."""
        self._taken.unlink(missing_ok=True)
