"""A record in tokens: what rendering makes of it, and what training needs of it."""

from typing import Final, NamedTuple, Protocol

__all__ = ["IGNORED", "Row", "TokenRow"]

IGNORED: Final = -100
"""The label of a token that bears no loss."""


class TokenRow(Protocol):
    """A record in tokens, wherever these lie. `labels[i]` is `input_ids[i]` where token i is to be
    predicted."""

    @property
    def line(self) -> int:
        """The record's, from 1."""

    @property
    def tokens(self) -> int:
        """Tokens in all."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that bear loss."""

    @property
    def input_ids(self) -> list[int]:
        """The tokens."""

    @property
    def labels(self) -> list[int]:
        """What is to be predicted of each token."""


class Row(NamedTuple):
    """A record in tokens that lie in memory."""

    line: int
    input_ids: list[int]
    labels: list[int]
    content: bytes
    """A digest of the record: equal for exact duplicates."""

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return len(self.input_ids)

    @property
    def trained_tokens(self) -> int:
        """Tokens that bear loss."""
        return sum(label != IGNORED for label in self.labels)

    def cut(self, max_length: int) -> "Row":
        """The row without what is longer, in tokens."""
        return self._replace(input_ids=self.input_ids[:max_length], labels=self.labels[:max_length])
