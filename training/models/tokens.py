"""How much text makes a token of a model, and how many tokens its chat template adds."""

from collections.abc import Sequence
from typing import Final

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from training.models.facts import TokenizerFacts

_TEXT: Final = """\
A model that was trained on many texts can be trained a little longer on few, so that it answers as
these do. How long that takes depends on the length of the texts, and on how the model's tokenizer
cuts them into pieces: common words are one token each, rare names and numbers such as 40,075 are
several. "Is it worth it?" is often asked; the answer is that one should try, look, and compare.

def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
"""
_CONVERSATION: Final = ("user", "assistant", "user", "assistant")
_WORD: Final = "yes"


def tokenizer_facts(tokenizer: PreTrainedTokenizerBase) -> TokenizerFacts | None:
    """The facts; None where a template does not take a plain conversation."""
    try:
        added = _added_by_template(tokenizer)
    except (TemplateError, ValueError, TypeError, KeyError):
        return None  # a run over conversations says what is wrong with it
    return TokenizerFacts(
        bytes_per_token=len(_TEXT.encode()) / max(1, len(_ids(tokenizer, _TEXT))),
        tokens_per_message=added,
    )


def _added_by_template(tokenizer: PreTrainedTokenizerBase) -> float:
    """Tokens for each message of a short conversation, what stands before it included."""
    if tokenizer.chat_template is None:
        return 0.0
    messages = [{"role": role, "content": _WORD} for role in _CONVERSATION]
    whole = len(_ids(tokenizer, str(tokenizer.apply_chat_template(messages, tokenize=False))))
    return max(0.0, whole / len(messages) - len(_ids(tokenizer, _WORD)))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> Sequence[int]:
    found: Sequence[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found
