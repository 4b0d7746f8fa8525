"""What a tokenizer makes of the questions: the half of a parity check that takes no model."""

from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedTokenizerBase

from training.config import Frozen
from training.data.chat import pieces
from training.export.questions import HOSTILE_STRINGS, Question
from training.templates.rendering import rendered

__all__ = ["LONGEST_TEXT", "Reading", "read"]

LONGEST_TEXT: Final = 128
"""In tokens; longer texts are cut, so that a long one does not outweigh the others."""


class Reading(Frozen):
    """Texts as a model sees them, question by question."""

    names: tuple[str, ...]
    prompts: tuple[str, ...]
    """As the chat template renders them."""
    input_ids: tuple[tuple[int, ...], ...]
    hostile_ids: tuple[tuple[int, ...], ...]
    """Of `HOSTILE_STRINGS`, one by one."""
    stops_at_end_of_turn: bool
    """Whether generation would end where an assistant's turn does."""
    leading_bos: int
    """BOS tokens that the first prompt begins with."""


def read(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], *, stops: frozenset[int]
) -> Reading:
    """What a tokenizer with its chat template makes of them, `stops` being where generation ends."""
    prompts = [_prompt(tokenizer, question) for question in questions]
    frames = [not _is_rendered(tokenizer, question) for question in questions]
    input_ids = [
        _ids(tokenizer, prompt, framed=framed)[:LONGEST_TEXT]
        for prompt, framed in zip(prompts, frames, strict=True)
    ]
    return Reading(
        names=tuple(question.name for question in questions),
        prompts=tuple(prompts),
        input_ids=tuple(input_ids),
        hostile_ids=tuple(_ids(tokenizer, text, framed=False) for text in HOSTILE_STRINGS),
        stops_at_end_of_turn=_stops_at_end_of_turn(tokenizer, stops),
        leading_bos=_leading(input_ids[0], tokenizer.bos_token_id),
    )


def _prompt(tokenizer: PreTrainedTokenizerBase, question: Question) -> str:
    if not question.messages:
        return question.text
    if tokenizer.chat_template is None:
        return "\n".join(str(message.get("content", "")) for message in question.messages)
    return rendered(
        tokenizer,
        question.messages,
        line=0,
        tools=question.tools,
        add_generation_prompt=question.awaits_answer,
    )


def _is_rendered(tokenizer: PreTrainedTokenizerBase, question: Question) -> bool:
    """Whether the chat template says how the text begins, instead of the tokenizer."""
    return bool(question.messages) and tokenizer.chat_template is not None


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, framed: bool) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=framed)["input_ids"])


def _leading(ids: Sequence[int], token_id: int | None) -> int:
    return next((place for place, each in enumerate(ids) if each != token_id), len(ids))


def _stops_at_end_of_turn(tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]) -> bool:
    """Whether a rendered assistant turn holds a token at which generation stops."""
    if tokenizer.chat_template is None:
        return tokenizer.eos_token_id in stops
    turn = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}]
    trained = [piece.text for piece in pieces(tokenizer, turn, line=0) if piece.trained]
    ids = tokenizer("".join(trained), add_special_tokens=False)["input_ids"]
    return any(each in stops for each in ids)
