"""What decides the tokens of a record, in a digest: whatever changes them changes it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Final

import tokenizers
import transformers
from transformers import PreTrainedTokenizerBase

__all__ = ["fingerprint"]

_VERSION: Final = 1
"""Of how we render: raised wherever the same record would become other tokens or labels."""


def fingerprint(tokenizer: PreTrainedTokenizerBase, choices: Iterable[object]) -> str:
    """A digest, in hex, of the tokenizer with its template, of the libraries, and of `choices`."""
    described = (
        _VERSION,
        transformers.__version__,
        tokenizers.__version__,
        *_described(tokenizer),
        sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items()),
        tokenizer.chat_template,
        *choices,
    )
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _described(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """All that the tokenizer's own part decides."""
    name = type(tokenizer).__name__
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocabulary = json.dumps(tokenizer.get_vocab(), sort_keys=True)
        return name, vocabulary, repr(sorted(tokenizer.init_kwargs.items()))
    backend.no_truncation()  # callers set it for a while, as they do padding; ours never do
    backend.no_padding()
    return name, backend.to_str()
