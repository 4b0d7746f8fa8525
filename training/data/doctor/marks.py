"""What was found of each record, one number a record: small enough to be kept whole."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.checks import BITS, Code
from training.data.doctor.report import MAX_LINES, DataFinding, finding

__all__ = ["Marks", "findings", "having"]


class Marks(NamedTuple):
    """The records of a dataset, by ascending line, and the bits of the codes each was found with."""

    lines: NDArray[np.uint32]
    bits: NDArray[np.uint64]

    def with_those(self, other: "Marks") -> "Marks":
        """The marks of both, each about a part of the same records."""
        lines = np.union1d(self.lines, other.lines)
        bits = np.zeros(len(lines), np.uint64)
        for marks in (self, other):
            bits[np.searchsorted(lines, marks.lines)] |= marks.bits
        return Marks(lines, bits)


def findings(marks: Marks) -> tuple[DataFinding, ...]:
    """A finding for each code that a record has, in the order of the table of checks."""
    found = []
    for code in Code:
        places = np.flatnonzero(having(marks, code))
        if len(places):
            found.append(finding(code, len(places), marks.lines[places[:MAX_LINES]].tolist()))
    return tuple(found)


def having(marks: Marks, code: Code) -> NDArray[np.bool_]:
    """Which of the records were found with a code."""
    found: NDArray[np.bool_] = (marks.bits & np.uint64(BITS[code])) != 0
    return found
