"""A rendered conversation, cut at the borders of what bears loss.

A template may mark with `{% generation %}` what the assistant says. One that does not is asked: what
it renders up to a turn, with the prompt for an answer, is what the model will see, and the rest of
the turn is what it is to say.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from transformers import PreTrainedTokenizerBase

from training.config import TrainOn
from training.data.conversations import Message, trained
from training.data.linear_templates import turns_in_one_pass
from training.errors import NoChatTemplate, TemplateNotPrefixStable
from training.templates.rendering import rendered, rendered_with_marks

__all__ = ["Piece", "pieces"]

_GENERATION_BLOCK: Final = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")

_Span: TypeAlias = tuple[int, int]


class Piece(NamedTuple):
    """A stretch of text. One that an assistant says ends with the end of its turn, or is refused."""

    text: str
    trained: bool
    said: bool
    """Whether it is an assistant's turn, trained or not."""


def pieces(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, object]],
    *,
    line: int,
    tools: list[object] | None = None,
    train_on: TrainOn = TrainOn.ASSISTANT,
) -> list[Piece]:
    """The rendered conversation in its stretches, which are the same whatever is trained.

    A turn of weight 0 is rendered as the others and bears no loss. `line` names the record in the
    errors, which are `NoChatTemplate`, `TemplateNotPrefixStable`, and what `rendered` raises.
    """
    if tokenizer.chat_template is None:
        raise NoChatTemplate(tokenizer.name_or_path)
    shown = [_shown(message) for message in messages]
    turns = _trained_turns(messages, train_on)
    if _GENERATION_BLOCK.search(tokenizer.get_chat_template(tools=tools)):  # type: ignore[arg-type]  # annotated narrowly
        text, marks = rendered_with_marks(tokenizer, shown, tools=tools, line=line)
        spans = _with_marks(marks, turns, line)
    else:
        text, found = _turns(tokenizer, shown, tools=tools, line=line)
        spans = list(zip(found, turns, strict=True))
    return _cut(text, _told_apart(spans, line, train_on), others=train_on is TrainOn.ALL)


def _cut(text: str, spans: Sequence[tuple[_Span, bool]], *, others: bool) -> list[Piece]:
    cut: list[Piece] = []
    position = 0
    for (start, end), is_trained in spans:
        cut += [
            Piece(text[position:start], others, said=False),
            Piece(text[start:end], is_trained, said=True),
        ]
        position = end
    cut.append(Piece(text[position:], others, said=False))
    return [piece for piece in cut if piece.text]


def _trained_turns(messages: Sequence[Mapping[str, object]], train_on: TrainOn) -> list[bool]:
    """Whether each assistant's turn bears loss, in order."""
    turns = [trained(message) for message in messages if message["role"] == "assistant"]
    if train_on is TrainOn.LAST_ASSISTANT:
        return [False] * (len(turns) - 1) + turns[-1:]
    return turns


def _with_marks(
    marks: Sequence[_Span], turns: Sequence[bool], line: int
) -> list[tuple[_Span | None, bool]]:
    """The marked spans, and whether each bears loss. A template that marks more or less than whole
    turns can only be trained as a whole."""
    if len(marks) == len(turns):
        return list(zip(marks, turns, strict=True))
    if all(turns):
        return [(span, True) for span in marks]
    raise TemplateNotPrefixStable(
        line, f"it marks {len(marks)} stretches for {len(turns)} turns, of which some are untrained"
    )


def _told_apart(
    spans: Sequence[tuple[_Span | None, bool]], line: int, train_on: TrainOn
) -> list[tuple[_Span, bool]]:
    """The spans that were found. What of a turn that bears no loss lies where matters only where all
    around it does."""
    for number, (span, is_trained) in enumerate(spans, start=1):
        if span is None and (is_trained or train_on is TrainOn.ALL):
            raise TemplateNotPrefixStable(
                line,
                f"the assistant's turn {number} is rendered otherwise once the next one follows",
            )
    return [(span, is_trained) for span, is_trained in spans if span is not None]


def _turns(
    tokenizer: PreTrainedTokenizerBase,
    shown: list[Message],
    *,
    tools: list[object] | None,
    line: int,
) -> tuple[str, Sequence[_Span | None]]:
    """The text, and where each of the assistant's turns lies in it."""
    found = turns_in_one_pass(
        str(tokenizer.get_chat_template(tools=tools)),  # type: ignore[arg-type]  # annotated narrowly
        shown,
        tools=tools,
        special_tokens=tokenizer.special_tokens_map,
    )
    if found is not None:
        return found.text, found.spans
    text = rendered(tokenizer, shown, tools=tools, line=line)
    return text, _found_spans(tokenizer, shown, text, tools=tools, line=line)


def _found_spans(
    tokenizer: PreTrainedTokenizerBase,
    shown: list[Message],
    text: str,
    *,
    tools: list[object] | None,
    line: int,
) -> list[_Span | None]:
    """Where each of the assistant's turns lies in the text, found by rendering the conversation up to
    it; None for one that is rendered otherwise there."""
    spans: list[_Span | None] = []
    for index, message in enumerate(shown):
        if message["role"] != "assistant":
            continue
        before = rendered(
            tokenizer, shown[:index], tools=tools, line=line, add_generation_prompt=True
        )
        is_last = index + 1 == len(shown)
        through = (
            text if is_last else rendered(tokenizer, shown[: index + 1], tools=tools, line=line)
        )
        end = _end_of_turn(tokenizer, text, before=before, through=through)
        spans.append(None if end is None else (len(before), end))
    return spans


def _end_of_turn(
    tokenizer: PreTrainedTokenizerBase, text: str, *, before: str, through: str
) -> int | None:
    """Where in the text a turn ends that begins behind `before` and with which `through` ends; None
    where these do not lie in the text.

    Some templates close a whole conversation with one more token. `through` then ends with that,
    and the turn with the last special token that it shares with the text.
    """
    if not (through.startswith(before) and text.startswith(before)):
        return None
    if text.startswith(through):
        return len(through)
    shared = _shared(through, text)
    special = [each.content for each in tokenizer.added_tokens_decoder.values() if each.special]
    found = [(through.rfind(each, len(before), shared), each) for each in special]
    end = max((place + len(each) for place, each in found if place >= 0), default=None)
    closing = through[end:]
    for each in special:
        closing = closing.replace(each, "")
    return None if closing.strip() else end


def _shared(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    both = zip(first, second, strict=False)
    return next(
        (place for place, (a, b) in enumerate(both) if a != b), min(len(first), len(second))
    )


def _shown(message: Mapping[str, object]) -> Message:
    """The message as a template takes it: with a content, and without what is for training."""
    return {"content": ""} | {key: value for key, value in message.items() if key != "weight"}
