"""Rows of a token file as a run sees them: some of them, in order, and none longer than is allowed."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from training.data.rows import TokenRow
from training.data.token_file import Integers, TokenTable

__all__ = ["Rows", "lengths_of"]


class Rows(Sequence[TokenRow]):
    """A view of a table: nothing but two numbers a row is held, and tokens are read when asked for."""

    def __init__(
        self, table: TokenTable, indices: Integers, *, tokens: Integers, trained_tokens: Integers
    ) -> None:
        """`tokens` and `trained_tokens` are those of each chosen row within the longest length."""
        self._table = table
        self.indices = indices
        self.tokens = tokens
        self.trained_tokens = trained_tokens

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> TokenRow: ...

    @overload
    def __getitem__(self, place: slice) -> "Rows": ...

    def __getitem__(self, place: int | slice) -> "TokenRow | Rows":
        if isinstance(place, slice):
            return self.chosen(np.arange(len(self))[place])
        return _StoredRow(
            self._table,
            int(self.indices[place]),
            tokens=int(self.tokens[place]),
            trained_tokens=int(self.trained_tokens[place]),
        )

    def chosen(self, places: Integers) -> "Rows":
        """Those of the rows at some places, in that order."""
        return Rows(
            self._table,
            self.indices[places],
            tokens=self.tokens[places],
            trained_tokens=self.trained_tokens[places],
        )

    @property
    def lines(self) -> Integers:
        """The line of each row's record, from 1."""
        return self._table.lines[self.indices]

    @property
    def contents(self) -> NDArray[np.void]:
        """The digest of each row's record: equal for exact duplicates."""
        return self._table.contents()[self.indices]


class _StoredRow:
    """A row of a table, of which nothing is read before it is asked for."""

    __slots__ = ("_index", "_table", "tokens", "trained_tokens")

    def __init__(self, table: TokenTable, index: int, *, tokens: int, trained_tokens: int) -> None:
        self._table = table
        self._index = index
        self.tokens = tokens
        self.trained_tokens = trained_tokens

    @property
    def line(self) -> int:
        return int(self._table.lines[self._index])

    @property
    def input_ids(self) -> list[int]:
        return self._table.input_ids(self._index, self.tokens)

    @property
    def labels(self) -> list[int]:
        return self._table.labels(self._index, self.tokens)


def lengths_of(rows: Sequence[TokenRow]) -> Integers:
    """Tokens of each row."""
    if isinstance(rows, Rows):
        return rows.tokens
    return np.array([row.tokens for row in rows], dtype=np.int64)
