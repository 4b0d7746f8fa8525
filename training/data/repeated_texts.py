"""Texts as tokens where much of them is the same again and again.

A tokenizer cuts a text at its special tokens and looks at each stretch between two of them by itself,
and most cut a stretch further, into words. So what stands between special tokens in every
conversation, such as a system prompt and who speaks, has to be tokenised once, and a word as well. What
is new is handed over in longer texts, with such a token between any two: a tokenizer needs as long to
begin with a text as for a few words.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from transformers import PreTrainedTokenizerBase

from training.data.encoding import ids_of, is_its_backend
from training.data.remembered_texts import Ids, RememberedTexts, as_ids, as_list
from training.data.word_borders import has_word_borders, words

__all__ = ["RepeatedTexts"]

_JOINED: Final = 2_000
"""Characters of what is new that are handed over as one text; a tokenizer shares texts among threads."""
_AT_ONCE: Final = 1_000_000
"""Characters of all texts of a call; of more nothing is remembered, for what that would take."""


class RepeatedTexts:
    """Tokenises texts as they stand, which is no beginning of a sequence, and remembers what it saw last.

    Good for tokenizers alone that give a text the same tokens wherever it stands.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._added = _cutting_tokens(tokenizer)
        longest_first = sorted(self._added, key=len, reverse=True)
        self._cuts = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        has_words = is_its_backend(tokenizer) and has_word_borders(tokenizer)
        self._words = RememberedTexts(self._joined)
        self._stretches = RememberedTexts(
            self._by_words if has_words else self._joined,
            {token: as_ids([number]) for token, number in self._added.items()},
        )

    def ids_of_each(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        if not self._added or sum(map(len, texts)) > _AT_ONCE:
            return ids_of(self._tokenizer, texts)
        cut = [self._cuts.split(text) for text in texts]
        return [as_list(ids) for ids in _looked_up(cut, self._stretches)]

    def _by_words(self, stretches: Sequence[str]) -> list[Ids]:
        """The ids of stretches, word by word."""
        return _looked_up([words(stretch) for stretch in stretches], self._words)

    def _joined(self, parts: Sequence[str]) -> list[Ids]:
        """The ids of parts in which no token is that cuts, tokenised together."""
        separator, number = next(iter(self._added.items()))
        groups = list(_groups(parts))
        found: list[list[int]] = []
        for group, ids in zip(
            groups, ids_of(self._tokenizer, [separator.join(each) for each in groups]), strict=True
        ):
            if ids.count(number) == len(group) - 1:
                found += _between(ids, number)
            else:  # the end of one part and the separator are another token together
                found += ids_of(self._tokenizer, group)
        return [as_ids(ids) for ids in found]


def _looked_up(cut: Sequence[Sequence[str]], remembered: RememberedTexts) -> list[Ids]:
    """The ids of texts that are cut into parts."""
    known = remembered.ids_of(set(chain.from_iterable(cut)))
    return [b"".join(map(known.__getitem__, parts)) for parts in cut]


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


def _cutting_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
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
    return {each.content: number for number, each in found.items()}
