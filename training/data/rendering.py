"""A record as tokens, and which of them bear loss.

Conversations go through the tokenizer's chat template. Their text is cut into pieces at the
borders of each assistant turn and the pieces are tokenised apart, so that what the model sees
before an answer is, token for token, what it will see when it is asked for one.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from training.config import DataType
from training.data.conversations import Message, trained
from training.data.linear_templates import turns_in_one_pass
from training.data.records import Record, canonical_line
from training.errors import NoChatTemplate, StopTokenNotTrained, TemplateNotPrefixStable

IGNORED: Final = -100
"""The label of a token that bears no loss."""

_GENERATION_BLOCK: Final = re.compile(r"\{%-?\s*generation\s*-?%\}")

_render: Final[Callable[..., tuple[list[str], list[list[tuple[int, int]]]]]] = render_jinja_template  # type: ignore[assignment]
"""The renderer under `apply_chat_template`, which is annotated as returning `str` and does not."""


class Row(NamedTuple):
    """A record in tokens. `labels[i]` is `input_ids[i]` where token i is to be predicted."""

    line: int
    input_ids: list[int]
    labels: list[int]
    content: bytes
    """A digest of the record: equal for exact duplicates."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that bear loss."""
        return sum(label != IGNORED for label in self.labels)


@dataclass
class Rendered:
    """The rows of a dataset, and the lines of the records that lost something on the way."""

    rows: list[Row] = field(default_factory=list)
    truncated: list[int] = field(default_factory=list)
    """Cut at the end to fit, and trained on what is left."""
    dropped: list[int] = field(default_factory=list)
    """Left without a token that bears loss, and not trained on."""


class Piece(NamedTuple):
    """A stretch of text that bears loss or not."""

    text: str
    trained: bool


@dataclass(frozen=True)
class Renderer:
    """Renders records of one type for one model."""

    tokenizer: PreTrainedTokenizerBase
    data_type: DataType
    stop_token_ids: frozenset[int]
    """Every token at which generation stops."""
    max_length: int
    """In tokens; longer rows are cut at the end."""

    def render(self, records: Iterable[tuple[int, Record]]) -> Rendered:
        """All numbered records as rows, in order.

        Raises `NoChatTemplate`, `TemplateNotPrefixStable` or `StopTokenNotTrained` where the
        template cannot be trained exactly.
        """
        rendered = Rendered()
        for line, record in records:
            input_ids, labels = self._tokens(line, record)
            row = Row(
                line=line,
                input_ids=input_ids[: self.max_length],
                labels=labels[: self.max_length],
                content=hashlib.sha256(canonical_line(record)).digest(),
            )
            if row.trained_tokens == 0:
                rendered.dropped.append(line)
                continue
            if len(input_ids) > self.max_length:
                rendered.truncated.append(line)
            rendered.rows.append(row)
        return rendered

    def _tokens(self, line: int, record: Record) -> tuple[list[int], list[int]]:
        """Ids and labels of a whole record; the first token, which nothing predicts, bears none."""
        if self.data_type in (DataType.CHAT, DataType.QA):
            input_ids, labels = self._conversation(line, record)
        elif self.data_type is DataType.COMPLETION:
            prompt = self._with_beginning(str(record["prompt"]))
            answer = self._closed(self._ids(str(record["completion"])), line)
            input_ids, labels = prompt + answer, [IGNORED] * len(prompt) + answer
        else:
            text = record["text" if self.data_type is DataType.TEXT else "code"]
            input_ids = self._closed(self._with_beginning(str(text)), line)
            labels = list(input_ids)
        return input_ids, [IGNORED, *labels[1:]]

    def _conversation(self, line: int, record: Record) -> tuple[list[int], list[int]]:
        input_ids: list[int] = []
        labels: list[int] = []
        tools = record.get("tools")
        cut = pieces(
            self.tokenizer,
            messages_of(record),
            line=line,
            tools=tools if isinstance(tools, list) else None,
        )
        for piece in cut:
            ids = self._ids(piece.text)
            trained = self._up_to_stop(ids, line) if piece.trained else 0
            input_ids += ids
            labels += ids[:trained] + [IGNORED] * (len(ids) - trained)
        return input_ids, labels

    def _up_to_stop(self, ids: Sequence[int], line: int) -> int:
        """How many tokens of an assistant turn are trained: all up to its stop token, so that
        the line feed some templates add after it is not."""
        for index in range(len(ids) - 1, -1, -1):
            if ids[index] in self.stop_token_ids:
                return index + 1
        raise StopTokenNotTrained(line)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _with_beginning(self, text: str) -> list[int]:
        """Ids of text at the start of a sequence: with the BOS token where the model wants one,
        without the EOS that some tokenizers add on their own."""
        ids = list(self.tokenizer(text)["input_ids"])
        if ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()
        return ids

    def _closed(self, ids: list[int], line: int) -> list[int]:
        """The ids and the token that ends a text."""
        end = self.tokenizer.eos_token_id
        if end is None:
            raise StopTokenNotTrained(line)
        return [*ids, int(end)]


def messages_of(record: Record) -> list[Message]:
    """A CHAT or QA record as a conversation."""
    if "messages" in record:
        messages = record["messages"]
        assert isinstance(messages, list)  # noqa: S101 - canonical records hold nothing else
        return messages
    system = [_message("system", record["system"])] if "system" in record else []
    return [
        *system,
        _message("user", record["question"]),
        _message("assistant", record["answer"]),
    ]


def pieces(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, object]],
    *,
    line: int,
    tools: list[object] | None = None,
) -> list[Piece]:
    """The rendered conversation, cut at the borders of the assistant's text.

    A turn of weight 0 is rendered as the others and bears no loss. `line` names the record in the
    errors that `Renderer.render` documents.
    """
    if tokenizer.chat_template is None:
        raise NoChatTemplate(tokenizer.name_or_path)
    template = tokenizer.get_chat_template()
    if _GENERATION_BLOCK.search(template):
        text, spans = _marked_spans(tokenizer, template, messages, tools=tools, line=line)
    else:
        text, spans = _rendered_spans(tokenizer, messages, tools=tools, line=line)
    cut: list[Piece] = []
    position = 0
    for start, end in spans:
        cut += [Piece(text[position:start], False), Piece(text[start:end], True)]
        position = end
    return [piece for piece in (*cut, Piece(text[position:], False)) if piece.text]


def _marked_spans(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    messages: Sequence[Mapping[str, object]],
    *,
    tools: list[object] | None,
    line: int,
) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the spans that the template itself marks as the assistant's."""
    texts, spans = _render(
        conversations=[[_shown(message) for message in messages]],
        tools=tools,
        chat_template=template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    weights = [trained(message) for message in messages if message["role"] == "assistant"]
    if all(weights):
        return texts[0], [(start, end) for start, end in spans[0] if start < end]
    if len(weights) != len(spans[0]):
        raise TemplateNotPrefixStable(
            line, f"it marks {len(spans[0])} stretches for {len(weights)} turns, some of weight 0"
        )
    kept = [span for span, weight in zip(spans[0], weights, strict=True) if weight]
    return texts[0], [(start, end) for start, end in kept if start < end]


def _rendered_spans(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, object]],
    *,
    tools: list[object] | None,
    line: int,
) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the spans found by rendering the conversation up to each assistant turn."""
    shown = [_shown(message) for message in messages]
    found = turns_in_one_pass(
        str(tokenizer.get_chat_template()),
        shown,
        tools=tools,
        special_tokens=tokenizer.special_tokens_map,
    )
    if found:
        turns = [trained(message) for message in messages if message["role"] == "assistant"]
        return found.text, [span for span, bears in zip(found.spans, turns, strict=True) if bears]
    text = _rendered(tokenizer, shown, tools=tools)
    spans = []
    for index, message in enumerate(messages):
        if not trained(message):
            continue
        before = _rendered(tokenizer, shown[:index], tools=tools, add_generation_prompt=True)
        through = _rendered(tokenizer, shown[: index + 1], tools=tools)
        for shorter, longer in ((before, through), (through, text)):
            if not longer.startswith(shorter):
                raise TemplateNotPrefixStable(
                    line, f"turn {index + 1} is rendered otherwise once the next one follows"
                )
        spans.append((len(before), len(through)))
    return text, spans


def _shown(message: Mapping[str, object]) -> Message:
    """The message as a template takes it: with a content, and without what is for training."""
    return {"content": ""} | {key: value for key, value in message.items() if key != "weight"}


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    *,
    tools: list[object] | None,
    add_generation_prompt: bool = False,
) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages,  # type: ignore[arg-type]  # annotated for text alone
            tools=tools,  # type: ignore[arg-type]  # annotated for objects alone, which they are
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
    )


def _message(role: str, content: object) -> Message:
    return {"role": role, "content": str(content)}
