"""What a dataset is in tokens, counted row by row."""

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.lengths import histogram, percentiles
from training.data.doctor.report import OverLimit, TokenStatistics

__all__ = ["RowLengths"]


class RowLengths:
    """Eight bytes of each row that went by, and sums over all."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._unknown = self._trained_over = 0
        self._tokens, self._trained = bytearray(), bytearray()

    def add(self, trained: NDArray[np.bool_], unknown: int) -> None:
        """Count a row, given which of its tokens bear loss and how many are unknown."""
        self._tokens += np.uint32(len(trained)).tobytes()
        self._trained += np.uint32(trained.sum()).tobytes()
        self._trained_over += int(trained[self._max_length :].sum())
        self._unknown += unknown

    def statistics(self) -> TokenStatistics:
        """The figures over all rows."""
        lengths = np.frombuffer(bytes(self._tokens), np.uint32)
        trained = np.frombuffer(bytes(self._trained), np.uint32)
        over = lengths[lengths > self._max_length].astype(np.int64)
        tokens, trained_tokens = (int(each.sum(dtype=np.int64)) for each in (lengths, trained))
        return TokenStatistics(
            rows=len(lengths),
            tokens=tokens,
            trained_tokens=trained_tokens,
            masked_tokens=tokens - trained_tokens,
            unknown_tokens=self._unknown,
            length_percentiles=percentiles(lengths),
            trained_percentiles=percentiles(trained),
            histogram=histogram(lengths),
            over_limit=OverLimit(
                max_length=self._max_length,
                records=len(over),
                tokens=int((over - self._max_length).sum()),
                trained_tokens=self._trained_over,
                longest=int(lengths.max(initial=0)),
            ),
        )
