"""A run's template settled before its first record: given to the tokenizer, and tried."""

from typing import Final

from transformers import PreTrainedTokenizerBase

from training.data.chat import pieces
from training.errors import TrainingError
from training.templates.applying import use_template
from training.templates.errors import OF_NO_RECORD, TemplateUnusable
from training.templates.guard import TookTooLong, time_limited

__all__ = ["TRIAL_SECONDS", "settle_template"]

TRIAL_SECONDS: Final = 2.0
"""A template that renders two short turns in some 100 microseconds of computing is usual."""

_ANSWER: Final = "Yes"
_TRIAL: Final = ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": _ANSWER})


def settle_template(
    tokenizer: PreTrainedTokenizerBase, chosen: str | None, stop_token_ids: frozenset[int]
) -> frozenset[int]:
    """Let the tokenizer carry the run's template; the tokens at which generation then has to stop.

    These are the given ones, and the one that ends a turn where none of those does: a base model may
    come with a template and without an end of turn among its stop tokens. Raises
    `TemplateUnusable`, `EndOfTurnSplit`, and for a chosen template `TemplateFailed`.
    """
    use_template(tokenizer, chosen)
    if tokenizer.chat_template is None:
        return stop_token_ids
    try:
        with time_limited(TRIAL_SECONDS):
            cut = pieces(tokenizer, _TRIAL, line=OF_NO_RECORD)
    except TookTooLong:
        raise TemplateUnusable(
            f"two short turns are not rendered after {TRIAL_SECONDS:.0f} seconds of computing"
        ) from None
    except TrainingError:
        if chosen is not None:
            raise
        return stop_token_ids  # what the model's own template can take, its records will show
    turn = "".join(piece.text for piece in cut if piece.said)
    if _ANSWER not in turn:
        if chosen is not None:
            raise TemplateUnusable("it does not write what the assistant says")
        return stop_token_ids
    return stop_token_ids | _end_of_turn(tokenizer, turn, stop_token_ids)


def _end_of_turn(
    tokenizer: PreTrainedTokenizerBase, turn: str, stop_token_ids: frozenset[int]
) -> frozenset[int]:
    """The first special token after the answer, unless the turn ends with one known already."""
    closing = turn[turn.rfind(_ANSWER) + len(_ANSWER) :]
    ids: list[int] = tokenizer(closing, add_special_tokens=False)["input_ids"]
    if stop_token_ids.intersection(ids):
        return frozenset()
    special = {number for number, each in tokenizer.added_tokens_decoder.items() if each.special}
    return frozenset([number for number in ids if number in special][:1])
