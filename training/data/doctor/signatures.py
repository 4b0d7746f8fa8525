"""MinHash signatures: small arrays that agree as far as two texts do.

A text is the set of its runs of five characters, letters and digits alone, in lower case, whatever
stands between them as one space. Two sets agree in the share of runs that they have in common
(Jaccard); of each of 64 orders of all runs a signature keeps the first run of the text,
reduced to a byte, so that two signatures are equal in about that share of their bytes.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGNATURE_BYTES", "Signatures", "signatures"]

SIGNATURE_BYTES: Final = 64

Signatures: TypeAlias = NDArray[np.uint8]
"""One row of `SIGNATURE_BYTES` a record."""

_RUN: Final = 5
_PIECE_CHARACTERS: Final = 1 << 16
_BATCH_CHARACTERS: Final = 1 << 18

_GAP: Final = "\0" * _RUN
"""What parts pieces laid end to end: no run reaches over it, and no record has this character."""

_random: Final = np.random.default_rng(20)
_MIXING: Final = _random.integers(0, 1 << 32, _RUN + 1, dtype=np.uint32) | np.uint32(1)
_ORDERS: Final = _random.integers(0, 1 << 32, SIGNATURE_BYTES, dtype=np.uint32) | np.uint32(1)
"""Odd numbers: multiplying by one only changes the order of 32-bit numbers."""

_BETWEEN: Final = 32
"""What stands for everything that is no letter or digit."""
_IS_WORD: Final = np.array([chr(code).isalnum() for code in range(0x10000)])


def signatures(texts: Sequence[str]) -> tuple[Signatures, NDArray[np.bool_]]:
    """The signatures of texts, and which of them have a letter or digit at all."""
    minima = np.full((len(texts), SIGNATURE_BYTES), np.iinfo(np.uint32).max, np.uint32)
    worded = np.zeros(len(texts), np.bool_)
    for owners, pieces in _batches(texts):
        words, starts = _words(pieces)
        worded[owners[words[starts] != 0]] = True
        np.minimum.at(minima, owners, _minima(*_runs(words, starts)))
    return minima.astype(np.uint8), worded


def _batches(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.intp], list[str]]]:
    """The texts in pieces, and whose they are, as many at once as memory should hold."""
    owners: list[int] = []
    pieces: list[str] = []
    held = 0
    for owner, text in enumerate(texts):
        for start in range(0, len(text) or 1, _PIECE_CHARACTERS):
            piece = text[start : start + _PIECE_CHARACTERS].casefold()
            if held + len(piece) > _BATCH_CHARACTERS and pieces:
                yield np.array(owners, np.intp), pieces
                owners, pieces, held = [], [], 0
            owners.append(owner)
            pieces.append(piece)
            held += len(piece)
    if pieces:
        yield np.array(owners, np.intp), pieces


def _words(pieces: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """The letters and digits of all pieces, one space between words, and where each piece starts."""
    codes = np.frombuffer((_GAP.join(pieces) + _GAP).encode("utf-32-le"), "<u4")
    is_word = _IS_WORD[np.minimum(codes, 0xFFFF)] | (codes > 0xFFFF)
    is_gap = codes == 0
    kept = is_word | is_gap
    kept[1:] |= is_word[:-1]
    ends = np.fromiter(accumulate(len(piece) + _RUN for piece in pieces), np.intp, len(pieces))
    lengths = np.add.reduceat(kept, np.concatenate(([0], ends[:-1])), dtype=np.intp)
    words = np.where(is_word | is_gap, codes, _BETWEEN)[kept].astype(np.uint32, copy=False)
    words[:-1][(words[:-1] == _BETWEEN) & (words[1:] == 0)] = 0  # after the last word is no space
    return words, np.cumsum(lengths) - lengths


def _runs(
    words: NDArray[np.uint32], starts: NDArray[np.intp]
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """A hash of each run, and where those of each piece start; one shorter than a run is one."""
    hashes = np.zeros(len(words) - _RUN + 1, np.uint32)
    for offset in range(_RUN):
        hashes += words[offset : offset + len(hashes)] * _MIXING[offset]
    is_run = (words[: len(hashes)] != 0) & (words[_RUN - 1 :] != 0)
    is_run[starts] = True
    runs = hashes[is_run]
    runs ^= runs >> np.uint32(15)
    runs *= _MIXING[_RUN]
    runs ^= runs >> np.uint32(13)
    return runs, np.cumsum(is_run)[starts] - 1


def _minima(runs: NDArray[np.uint32], starts: NDArray[np.intp]) -> NDArray[np.uint32]:
    """The least hash of each piece in each order."""
    minima = np.empty((SIGNATURE_BYTES, len(starts)), np.uint32)
    ordered = np.empty_like(runs)
    for order, factor in enumerate(_ORDERS):
        np.multiply(runs, factor, out=ordered)
        np.minimum.reduceat(ordered, starts, out=minima[order])
    return minima.T
