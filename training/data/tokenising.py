"""Texts as tokens, and stretches of one text, each as if those before it stood before it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from transformers import PreTrainedTokenizerBase, TokenizersBackend

__all__ = ["PieceTokenizer", "ids_of"]

_NEUTRAL: Final = "\n"
"""What no tokenizer merges with a word that follows."""


def ids_of(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, framed: bool = False
) -> list[list[int]]:
    """The ids of each text, with the tokens that a sequence begins and ends with where it is framed.

    They are those that the tokenizer gives when it is called. That also finds where in the text each
    token lies, and copies all it found, which takes a third of its time.
    """
    if not texts:
        return []
    if isinstance(tokenizer, TokenizersBackend) and _encodes_as_its_backend(type(tokenizer)):
        tokenizer("")  # which undoes what the last call may have said of lengths and padding
        backend = tokenizer.backend_tokenizer
        found = backend.encode_batch_fast(list(texts), add_special_tokens=framed)
        return [each.ids for each in found]
    ids: list[list[int]] = tokenizer(
        list(texts),
        add_special_tokens=framed,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    return ids


def _encodes_as_its_backend(kind: type[TokenizersBackend]) -> bool:
    """Whether a tokenizer of this class does nothing to a text before its backend gets it."""
    return (
        kind.__call__ is TokenizersBackend.__call__
        and kind._encode_plus is TokenizersBackend._encode_plus
    )


class PieceTokenizer:
    """Tokenises the pieces of texts apart, so that no token reaches over a border.

    Tokenizers of the SentencePiece kind write a space before a text, or before all that follows a
    special token. A piece gets that only where it would have it amid its text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        alone, after = self._ids(["x", f"{_NEUTRAL}x"])
        self._minds_context = after != self._ids([_NEUTRAL])[0] + alone
        added = tokenizer.added_tokens_decoder.values() if self._minds_context else ()
        self._added = sorted(added, key=lambda each: len(each.content), reverse=True)

    def ids_of_each(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """The same for many texts at once, which is faster where no piece minds its context."""
        if self._minds_context:
            return [self.ids(pieces) for pieces in texts]
        every = [piece for pieces in texts for piece in pieces]
        found = iter(self._ids(every))
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
