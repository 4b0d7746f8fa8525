"""A run's chat template, given to its tokenizer, which carries it from then on."""

from transformers import PreTrainedTokenizerBase

from training.templates.errors import EndOfTurnSplit
from training.templates.named import END_OF_TURN, NamedTemplate, named, text_of
from training.templates.parsing import check_syntax

__all__ = ["supported", "use_template"]


def use_template(tokenizer: PreTrainedTokenizerBase, chosen: str | None) -> None:
    """Let the tokenizer render by the template of a name, or by a template's text; None leaves it
    its own. It is saved with the tokenizer.

    Raises `EndOfTurnSplit` and `TemplateUnusable`.
    """
    if chosen is None:
        return
    template = named(chosen)
    if template is None:
        check_syntax(chosen)
        tokenizer.chat_template = chosen
        return
    token = _end_of_turn(template, tokenizer)
    if token not in tokenizer.added_tokens_encoder:
        raise EndOfTurnSplit(template, token)
    tokenizer.chat_template = text_of(template)


def supported(tokenizer: PreTrainedTokenizerBase) -> tuple[NamedTemplate, ...]:
    """The named templates whose end of a turn is one token of the tokenizer."""
    tokens = tokenizer.added_tokens_encoder
    return tuple(each for each in NamedTemplate if _end_of_turn(each, tokenizer) in tokens)


def _end_of_turn(template: NamedTemplate, tokenizer: PreTrainedTokenizerBase) -> str | None:
    own: str | None = tokenizer.eos_token
    return END_OF_TURN.get(template, own)
