"""Texts and the ids of their tokens, of which those that were used last are remembered."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

__all__ = ["Ids", "RememberedTexts", "as_ids", "as_list"]

Ids: TypeAlias = bytes
"""Ids in four bytes each: joined faster than lists are, and a tenth of their size."""

_KIND: Final = "i"
_CHARACTERS: Final = 500_000
"""Of texts in each of two halves of what is remembered; one of a few letters takes 200 bytes."""


def as_ids(numbers: Sequence[int]) -> Ids:
    """Ids as they are remembered."""
    return array(_KIND, numbers).tobytes()


def as_list(ids: Ids) -> list[int]:
    """Ids as they are used."""
    return memoryview(ids).cast(_KIND).tolist()


class RememberedTexts:
    """Has texts tokenised that it does not remember; some are known from the start and always."""

    def __init__(
        self,
        tokenised: Callable[[Sequence[str]], Sequence[Ids]],
        always: Mapping[str, Ids] | None = None,
    ) -> None:
        self._tokenised = tokenised
        self._always = {"": b"", **(always or {})}
        self._recent = self._always.copy()
        self._former: dict[str, Ids] = {}
        self._characters = 0

    def ids_of(self, texts: AbstractSet[str]) -> Mapping[str, Ids]:
        """What holds the ids of each of these texts, and of others; good until the next call."""
        if self._characters > _CHARACTERS:
            self._former, self._recent = self._recent, self._always.copy()
            self._characters = 0
        recent, former = self._recent, self._former
        found = {text: former.get(text) for text in texts if text not in recent}
        new = [text for text, ids in found.items() if ids is None]
        recent.update((text, ids) for text, ids in found.items() if ids is not None)
        recent.update(zip(new, self._tokenised(new), strict=True))
        self._characters += sum(map(len, found))
        return recent
