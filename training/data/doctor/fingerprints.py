"""What is kept of records so that they can be compared: 84 bytes each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.signatures import Signatures

__all__ = ["Digests", "Fingerprints", "as_digests"]

Digests = NDArray[np.uint64]
"""The first 16 bytes of the SHA-256 of a record's canonical line, which `Row.content` is too: two
numbers a record."""


class Fingerprints(NamedTuple):
    """The records of a dataset, or of one side of a split, in ascending order of lines."""

    lines: NDArray[np.uint32]
    digests: Digests
    signatures: Signatures

    def take(self, indices: NDArray[np.intp]) -> "Fingerprints":
        """Those of some records."""
        return Fingerprints(self.lines[indices], self.digests[indices], self.signatures[indices])

    def at_lines(self, lines: NDArray[np.integer]) -> "Fingerprints":
        """Those of the records at some lines, all of which are there."""
        return self.take(np.searchsorted(self.lines, lines))


def as_digests(contents: bytes | bytearray) -> Digests:
    """The digests whose 16 bytes lie end to end."""
    return np.frombuffer(contents, np.uint64).reshape(-1, 2)
