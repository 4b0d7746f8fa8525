"""A record as tokens, and which of them bear loss.

Conversations go through the tokenizer's chat template. Their text is cut into pieces at the
borders of each assistant turn and the pieces are tokenised apart, so that what the model sees
before an answer is, token for token, what it will see when it is asked for one.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from training.config import DataType
from training.data.conversations import Message, trained
from training.data.fingerprints import fingerprint
from training.data.linear_templates import turns_in_one_pass
from training.data.records import Record, canonical_line
from training.data.rows import IGNORED, Row
from training.errors import NoChatTemplate, StopTokenNotTrained, TemplateNotPrefixStable

_GENERATION_BLOCK: Final = re.compile(r"\{%-?\s*generation\s*-?%\}")

_render: Final[Callable[..., tuple[list[str], list[list[tuple[int, int]]]]]] = render_jinja_template  # type: ignore[assignment]
"""The renderer under `apply_chat_template`, which is annotated as returning `str` and does not."""


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

    @cached_property
    def fingerprint(self) -> str:
        """A digest of everything that decides a record's tokens and labels, but for the record."""
        return fingerprint(self.tokenizer, (self.data_type, sorted(self.stop_token_ids)))

    def render(self, records: Iterable[tuple[int, Record]]) -> Rendered:
        """All numbered records as rows of the longest length, in order.

        Raises what `rows` raises.
        """
        rendered = Rendered()
        for row in self.rows(list(records)):
            cut = row._replace(
                input_ids=row.input_ids[: self.max_length], labels=row.labels[: self.max_length]
            )
            if cut.trained_tokens == 0:
                rendered.dropped.append(row.line)
                continue
            if row.tokens > self.max_length:
                rendered.truncated.append(row.line)
            rendered.rows.append(cut)
        return rendered

    def rows(self, records: Sequence[tuple[int, Record]]) -> list[Row]:
        """All numbered records as whole rows, in order; their text is tokenised together.

        The first token, which nothing predicts, bears no loss. Raises `NoChatTemplate`,
        `TemplateNotPrefixStable` or `StopTokenNotTrained` where the template cannot be trained
        exactly.
        """
        cut = [self._cut(line, record) for line, record in records]
        tokenised = self._tokenised(cut)
        rows = []
        for (line, record), parts in zip(records, cut, strict=True):
            input_ids, labels = self._laid_out(line, [(part, next(tokenised)) for part in parts])
            labels[:1] = [IGNORED] * len(labels[:1])
            content = hashlib.sha256(canonical_line(record)).digest()
            rows.append(Row(line=line, input_ids=input_ids, labels=labels, content=content))
        return rows

    @property
    def _frames_texts(self) -> bool:
        """Whether a row begins and ends as the tokenizer says; else the template says it."""
        return self.data_type not in (DataType.CHAT, DataType.QA)

    def _cut(self, line: int, record: Record) -> list[Piece]:
        if self.data_type is DataType.COMPLETION:
            return [Piece(str(record["prompt"]), False), Piece(str(record["completion"]), True)]
        if self._frames_texts:
            text = record["text" if self.data_type is DataType.TEXT else "code"]
            return [Piece(str(text), True)]
        tools = record.get("tools")
        return pieces(
            self.tokenizer,
            messages_of(record),
            line=line,
            tools=tools if isinstance(tools, list) else None,
        )

    def _tokenised(self, cut: Sequence[Sequence[Piece]]) -> Iterator[list[int]]:
        """The ids of every piece, in order."""
        texts = [piece.text for parts in cut for piece in parts]
        if not self._frames_texts:
            return iter(self._ids(texts))
        first = iter(self._beginnings([parts[0].text for parts in cut]))
        rest = iter(self._ids([piece.text for parts in cut for piece in parts[1:]]))
        return (next(rest if place else first) for parts in cut for place in range(len(parts)))

    def _laid_out(
        self, line: int, parts: Sequence[tuple[Piece, list[int]]]
    ) -> tuple[list[int], list[int]]:
        """Ids and labels of a whole record."""
        input_ids: list[int] = []
        labels: list[int] = []
        for piece, ids in parts:
            trained = 0
            if piece.trained:
                trained = len(ids) if self._frames_texts else self._up_to_stop(ids, line)
            input_ids += ids
            labels += ids[:trained] + [IGNORED] * (len(ids) - trained)
        if self._frames_texts:
            end = self._end(line)
            input_ids.append(end)
            labels.append(end)
        return input_ids, labels

    def _up_to_stop(self, ids: Sequence[int], line: int) -> int:
        """How many tokens of an assistant turn are trained: all up to its stop token, so that
        the line feed some templates add after it is not."""
        for index in range(len(ids) - 1, -1, -1):
            if ids[index] in self.stop_token_ids:
                return index + 1
        raise StopTokenNotTrained(line)

    def _ids(self, texts: list[str], *, framed: bool = False) -> list[list[int]]:
        if not texts:
            return []
        found = self.tokenizer(
            texts,
            add_special_tokens=framed,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids: list[list[int]] = found["input_ids"]
        return ids

    def _beginnings(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts at the start of a sequence: with the BOS token where the model wants one,
        without the EOS that some tokenizers add on their own."""
        found = self._ids(texts, framed=True)
        for ids in found:
            if ids and ids[-1] == self.tokenizer.eos_token_id:
                ids.pop()
        return found

    def _end(self, line: int) -> int:
        """The token that ends a text."""
        end = self.tokenizer.eos_token_id
        if end is None:
            raise StopTokenNotTrained(line)
        return int(end)


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
