"""Stretches of one text as tokens, each as if those before it stood before it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from transformers import PreTrainedTokenizerBase

from training.data.encoding import ids_of
from training.data.repeated_texts import RepeatedTexts

__all__ = ["PieceTokenizer"]

_NEUTRAL: Final = "\n"
"""What no tokenizer merges with a word that follows."""


class PieceTokenizer:
    """Tokenises the pieces of texts apart, so that no token reaches over a border.

    Tokenizers of the SentencePiece kind write a space before a text, or before all that follows a
    special token. A piece gets that only where it would have it amid its text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        alone, after = self._ids(["x", f"{_NEUTRAL}x"])
        self._minds_context = after != self._ids([_NEUTRAL])[0] + alone
        self._repeated = RepeatedTexts(tokenizer)
        added = tokenizer.added_tokens_decoder.values() if self._minds_context else ()
        self._added = sorted(added, key=lambda each: len(each.content), reverse=True)

    def ids_of_each(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """The same for many texts at once, which is faster where no piece minds its context."""
        if self._minds_context:
            return [self.ids(pieces) for pieces in texts]
        every = [piece for pieces in texts for piece in pieces]
        found = iter(self._repeated.ids_of_each(every))
        return [[next(found) for _ in pieces] for pieces in texts]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each piece of one text, in order."""
        if not self._minds_context or len(texts) < 2:
            return self._ids(texts)
        contexts = [self._end_of(before) for before, _ in pairwise(texts)]
        following = [context + text for context, text in zip(contexts, texts[1:], strict=True)]
        first, *longer = self._ids([texts[0], *following])
        known = self._ids(contexts)
        rest = [
            ids[len(context) :] if ids[: len(context)] == context else None
            for ids, context in zip(longer, known, strict=True)
        ]
        alone = [
            self._ids([text])[0] if ids is None else ids
            for text, ids in zip(texts[1:], rest, strict=True)
        ]
        return [first, *alone]

    def _end_of(self, text: str) -> str:
        """A short text that ends as this one does: with the same special token and the blanks that
        it swallows, or with none."""
        stripped = text.rstrip()
        for each in self._added:
            end = stripped if each.rstrip else text
            if end.endswith(each.content):
                return text[len(end) - len(each.content) :]
        return _NEUTRAL

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return ids_of(self._tokenizer, texts)
