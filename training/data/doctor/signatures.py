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

_random: Final = np.random.default_rng(20)
_MIXING: Final = _random.integers(1 << 63, 1 << 64, _RUN + 1, dtype=np.uint64) | np.uint64(1)
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
        characters, lengths = _words(pieces)
        worded[owners[lengths > 0]] = True
        np.minimum.at(minima, owners, _minima(_runs(characters, lengths), lengths))
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
    """The letters and digits of all pieces, a space between words, and how many each piece has."""
    joined = "\n".join(pieces) + "\n"
    codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    is_word = _IS_WORD[np.minimum(codes, 0xFFFF)] | (codes > 0xFFFF)
    kept = is_word.copy()
    kept[1:-1] |= is_word[:-2] & ~is_word[1:-1]
    ends = np.fromiter(accumulate(len(piece) + 1 for piece in pieces), np.intp, len(pieces))
    kept[ends - 1] = False  # what ends a piece
    lengths = np.diff(np.concatenate(([0], np.cumsum(kept)))[np.concatenate(([0], ends))])
    return np.where(is_word, codes, _BETWEEN).astype(np.uint32)[kept], lengths.astype(np.intp)


def _runs(characters: NDArray[np.uint32], lengths: NDArray[np.intp]) -> NDArray[np.uint32]:
    """A hash of each run; a piece shorter than a run is one of its own."""
    padded = np.zeros(len(characters) + _RUN * len(lengths), np.uint64)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    padded[np.arange(len(characters)) + _RUN * owners] = characters
    starts = _starts(lengths + _RUN)
    hashes = np.zeros(len(padded) - _RUN + 1, np.uint64)
    for offset in range(_RUN):
        hashes += padded[offset : offset + len(hashes)] * _MIXING[offset]
    counts = _run_counts(lengths)
    first = np.repeat(starts - _starts(counts), counts)
    runs = hashes[first + np.arange(len(first))]
    runs ^= runs >> np.uint64(32)
    runs *= _MIXING[_RUN]
    return (runs >> np.uint64(32)).astype(np.uint32)


def _minima(runs: NDArray[np.uint32], lengths: NDArray[np.intp]) -> NDArray[np.uint32]:
    """The least hash of each piece in each order."""
    starts = _starts(_run_counts(lengths))
    minima = np.empty((SIGNATURE_BYTES, len(lengths)), np.uint32)
    ordered = np.empty_like(runs)
    for order, factor in enumerate(_ORDERS):
        np.multiply(runs, factor, out=ordered)
        np.minimum.reduceat(ordered, starts, out=minima[order])
    return minima.T


def _run_counts(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.maximum(lengths - (_RUN - 1), 1)


def _starts(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where each of several stretches laid end to end begins."""
    return np.cumsum(lengths) - lengths
