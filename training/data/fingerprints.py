"""What decides a record's tokens, as one digest: rows that were kept are good while it is the same."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Final

import tokenizers
import transformers
from transformers import PreTrainedTokenizerBase

from training.config import DataType, TrainOn

__all__ = ["RENDERING_VERSION", "fingerprint"]

RENDERING_VERSION: Final = 1
"""Of the code that makes rows of records; to be raised with each change that makes other rows."""

_CLOCK: Final = "strftime_now"
"""By which a template asks what day it is."""


def fingerprint(
    tokenizer: PreTrainedTokenizerBase,
    *,
    data_type: DataType,
    train_on: TrainOn,
    stop_token_ids: frozenset[int],
) -> str:
    """A hex digest: equal where every record is rendered to the same ids and labels."""
    tokenizer("")  # forgets the longest length that its file may name, as the first use does
    template = json.dumps(tokenizer.chat_template, sort_keys=True)
    parts = {
        "rendering": RENDERING_VERSION,
        "libraries": [tokenizers.__version__, transformers.__version__],
        "tokenizer": _serialised(tokenizer),
        "special tokens": tokenizer.special_tokens_map,
        "template": template,
        "day": _today() if _CLOCK in template else None,
        "data type": data_type,
        "train on": train_on,
        "stop tokens": sorted(stop_token_ids),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _today() -> str:
    """As a template's clock has it, which is the machine's own."""
    return datetime.now(UTC).astimezone().date().isoformat()


def _serialised(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer with its added tokens: as the library stores it, or for one in Python, its class
    and vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return str(backend.to_str())
    vocabulary = sorted(tokenizer.get_vocab().items())
    return json.dumps([type(tokenizer).__qualname__, vocabulary, repr(tokenizer.init_kwargs)])
