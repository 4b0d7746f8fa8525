"""What was found of each record, one number a record: small enough to be kept whole."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.checks import BITS, Code
from training.data.doctor.report import MAX_LINES, DataFinding, Pattern, finding

__all__ = ["Marks", "codes_of", "findings", "having", "patterns"]


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


def patterns(marks: Marks) -> tuple[Pattern, ...]:
    """The records by all that was found of each."""
    distinct = np.unique(marks.bits)
    places = np.searchsorted(distinct, marks.bits)
    return tuple(
        Pattern(
            codes=codes_of(int(bits)),
            count=int(count),
            lines=tuple(marks.lines[np.flatnonzero(places == place)[:MAX_LINES]].tolist()),
        )
        for place, (bits, count) in enumerate(zip(distinct, np.bincount(places), strict=True))
    )


def codes_of(bits: int) -> tuple[Code, ...]:
    """The codes that the bits stand for."""
    return tuple(code for code, bit in BITS.items() if bits & bit)


def having(marks: Marks, code: Code) -> NDArray[np.bool_]:
    """Which of the records were found with a code."""
    found: NDArray[np.bool_] = (marks.bits & np.uint64(BITS[code])) != 0
    return found
