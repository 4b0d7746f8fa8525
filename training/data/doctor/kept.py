"""What was found of each record, kept beside the report: who acts on it need not read them again."""

from pathlib import Path

import numpy as np

from training.data.doctor.examination import Examination
from training.data.doctor.fingerprints import Fingerprints
from training.data.doctor.marks import Marks
from training.data.doctor.spec import EXAMINED
from training.files import whole_file

__all__ = ["keep", "kept_fingerprints", "kept_marks"]


def keep(examination: Examination, folder: Path) -> None:
    """Write some 100 bytes for each record. Raises `DiskFull`."""
    marks, fingerprints = examination.marks, examination.fingerprints
    with whole_file(folder / EXAMINED) as path, path.open("wb") as file:
        np.savez(
            file,
            lines=marks.lines,
            bits=marks.bits,
            digests=fingerprints.digests,
            signatures=fingerprints.signatures,
        )


def kept_marks(folder: Path) -> Marks:
    """What each record was found with. `FileNotFoundError` where nobody has looked."""
    with np.load(folder / EXAMINED) as kept:
        return Marks(kept["lines"], kept["bits"])


def kept_fingerprints(folder: Path) -> Fingerprints:
    """What records are compared by. `FileNotFoundError` where nobody has looked."""
    with np.load(folder / EXAMINED) as kept:
        return Fingerprints(kept["lines"], kept["digests"], kept["signatures"])
