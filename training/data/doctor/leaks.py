"""Validation records that are training records too, or nearly."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.checks import BITS, Code
from training.data.doctor.duplicates import first_equal
from training.data.doctor.fingerprints import Fingerprints
from training.data.doctor.marks import Marks
from training.data.doctor.near import nearest
from training.data.doctor.report import MAX_PAIRS, LeakPair, Leaks

__all__ = ["FoundLeaks", "find_leaks"]


class FoundLeaks(NamedTuple):
    """The leaks as a part of a report, and the marks of the validation records."""

    leaks: Leaks
    marks: Marks


def find_leaks(
    training: Fingerprints, validation: Fingerprints, *, near_pairs_alone: bool = False
) -> FoundLeaks:
    """The validation records that repeat a training record, each with one that it repeats.

    Equal pairs come first, of which there may be as many as are named at all; or they are not named.
    """
    partners = _equal(training, validation)
    equal = np.flatnonzero(partners >= 0)
    others = np.flatnonzero(partners < 0)
    near, near_partners, similarities = nearest(validation.signatures[others], training.signatures)
    near = others[near]
    bits = np.zeros(len(validation.lines), np.uint64)
    bits[equal] = BITS[Code.LEAK]
    bits[near] = BITS[Code.NEAR_LEAK]
    named = equal[:0] if near_pairs_alone else equal
    found = [
        *((each, partners[each], 1.0) for each in named[:MAX_PAIRS]),
        *zip(near[:MAX_PAIRS], near_partners, similarities, strict=False),
    ]
    pairs = tuple(
        LeakPair(
            validation_line=int(validation.lines[ours]),
            training_line=int(training.lines[theirs]),
            similarity=float(similarity),
        )
        for ours, theirs, similarity in found[:MAX_PAIRS]
    )
    return FoundLeaks(
        Leaks(equal=len(equal), near=len(near), pairs=pairs), Marks(validation.lines, bits)
    )


def _equal(training: Fingerprints, validation: Fingerprints) -> NDArray[np.intp]:
    """For each validation record the index of the first equal training record, or -1."""
    both = np.concatenate((training.digests, validation.digests))
    first = first_equal(both[:, 0], both[:, 1])[len(training.digests) :]
    return np.where(first < len(training.digests), first, -1).astype(np.intp)
