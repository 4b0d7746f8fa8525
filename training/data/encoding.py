"""Texts as the ids of their tokens, and nothing else of them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeGuard

from transformers import PreTrainedTokenizerBase, TokenizersBackend

__all__ = ["given_threads", "ids_of", "is_its_backend", "leave_out_threads"]

_PARALLELISM: Final = "TOKENIZERS_PARALLELISM"


def ids_of(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, framed: bool = False
) -> list[list[int]]:
    """The ids of each text, with the tokens that a sequence begins and ends with where it is framed.

    They are those that the tokenizer gives when it is called. That also finds where in the text each
    token lies, and copies all it found, which takes a third of its time.
    """
    if not texts:
        return []
    if is_its_backend(tokenizer):
        tokenizer("")  # which undoes what the last call may have said of lengths and padding
        found = tokenizer.backend_tokenizer.encode_batch_fast(
            list(texts), add_special_tokens=framed
        )
        return [each.ids for each in found]
    ids: list[list[int]] = tokenizer(
        list(texts),
        add_special_tokens=framed,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    return ids


def is_its_backend(tokenizer: PreTrainedTokenizerBase) -> TypeGuard[TokenizersBackend]:
    """Whether it does nothing to a text before its backend, which is no Python, gets it."""
    kind = type(tokenizer)
    return (
        isinstance(tokenizer, TokenizersBackend)
        and kind.__call__ is TokenizersBackend.__call__
        and kind._encode_plus is TokenizersBackend._encode_plus
    )


@contextmanager
def given_threads() -> Iterator[int]:
    """Let a tokenizer use the threads that were given to this process: nothing else computes now.

    It counts the machine's cores otherwise, and is kept from that where models are computed. Yields how
    many there are.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    before = os.environ.get(_PARALLELISM)
    os.environ.setdefault("RAYON_NUM_THREADS", threads)
    os.environ[_PARALLELISM] = "true" if threads != "1" else "false"
    try:
        yield int(threads) if threads.isdecimal() else 1
    finally:
        if before is None:
            del os.environ[_PARALLELISM]
        else:
            os.environ[_PARALLELISM] = before


def leave_out_threads() -> None:
    """Keep a tokenizer from threads, which no process has after it was forked."""
    os.environ[_PARALLELISM] = "false"
