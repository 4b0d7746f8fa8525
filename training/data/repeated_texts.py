"""Texts as tokens where much of them is the same again and again.

A tokenizer cuts a text at its special tokens and looks at each stretch between two of them by itself.
So what stands between them in every conversation, such as a system prompt, who speaks, and how a turn
ends, has to be tokenised once. What is new is handed over in longer texts, with such a token between
any two: a tokenizer needs as long to begin with a text as for a few words.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from transformers import PreTrainedTokenizerBase

from training.data.encoding import ids_of, is_its_backend

__all__ = ["RepeatedTexts"]

_REMEMBERED: Final = 500_000
"""Characters of stretches in each of two halves of what is remembered; an id takes some 36 bytes."""
_JOINED: Final = 2_000
"""Characters of new stretches that are handed over as one text; a tokenizer shares texts among threads."""


class RepeatedTexts:
    """Tokenises texts as they stand, which is no beginning of a sequence, and remembers what it saw last.

    Good for tokenizers alone that give a text the same tokens wherever it stands.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._added = _cutting_tokens(tokenizer)
        longest_first = sorted(self._added, key=len, reverse=True)
        self._cuts = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        self._recent: dict[str, list[int]] = {}
        self._former: dict[str, list[int]] = {}
        self._characters = 0

    def ids_of_each(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        if not self._added:
            return ids_of(self._tokenizer, texts)
        cut = [[part for part in self._cuts.split(text) if part] for text in texts]
        known = self._known(dict.fromkeys(chain.from_iterable(cut)))
        return [list(chain.from_iterable(map(known.__getitem__, parts))) for parts in cut]

    def _known(self, parts: Iterable[str]) -> dict[str, list[int]]:
        """The ids of these parts, of which those that nobody remembers are tokenised together."""
        known: dict[str, list[int]] = {}
        new: list[str] = []
        for part in parts:
            ids = self._added.get(part) or self._recent.get(part)
            if ids is None and (ids := self._former.get(part)) is not None:
                self._remember(part, ids)
            if ids is None:
                new.append(part)
            else:
                known[part] = ids
        for part, ids in zip(new, self._tokenised(new), strict=True):
            known[part] = ids
            self._remember(part, ids)
        return known

    def _tokenised(self, parts: Sequence[str]) -> list[list[int]]:
        """The ids of parts in which no token is that cuts."""
        separator, (number,) = next(iter(self._added.items()))
        groups = list(_groups(parts))
        found: list[list[int]] = []
        for group, ids in zip(
            groups, ids_of(self._tokenizer, [separator.join(each) for each in groups]), strict=True
        ):
            if ids.count(number) == len(group) - 1:
                found += _between(ids, number)
            else:  # the end of one part and the separator are another token together
                found += ids_of(self._tokenizer, group)
        return found

    def _remember(self, part: str, ids: list[int]) -> None:
        if self._characters + len(part) > _REMEMBERED:
            self._former, self._recent = self._recent, {}
            self._characters = 0
        if len(part) <= _REMEMBERED:
            self._recent[part] = ids
            self._characters += len(part)


def _groups(parts: Iterable[str]) -> Iterator[list[str]]:
    """The parts in order, a few together."""
    group: list[str] = []
    characters = 0
    for part in parts:
        if group and characters + len(part) > _JOINED:
            yield group
            group, characters = [], 0
        group.append(part)
        characters += len(part)
    if group:
        yield group


def _between(ids: list[int], number: int) -> Iterator[list[int]]:
    """The ids before, between and after those that are this number."""
    start = 0
    for _ in range(ids.count(number)):
        end = ids.index(number, start)
        yield ids[start:end]
        start = end + 1
    yield ids[start:]


def _cutting_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """The tokens at which every text is cut before anything else is done to it; none where some of
    them take blanks along or are found amid blanks alone."""
    if not is_its_backend(tokenizer) or tokenizer.split_special_tokens:
        return {}
    found = {
        number: each
        for number, each in tokenizer.added_tokens_decoder.items()
        if not each.normalized and each.content
    }
    if any(each.lstrip or each.rstrip or each.single_word for each in found.values()):
        return {}
    return {each.content: [number] for number, each in found.items()}
