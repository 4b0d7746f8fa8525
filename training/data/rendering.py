"""A record as tokens, and which of them bear loss.

Conversations go through the tokenizer's chat template. Their text is cut into pieces at the
borders of each assistant turn and the pieces are tokenised apart, so that what the model sees
before an answer is, token for token, what it will see when it is asked for one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from transformers import PreTrainedTokenizerBase

from training.config import DataType, TrainOn
from training.data.chat import Piece, pieces
from training.data.conversations import Message
from training.data.fingerprints import fingerprint
from training.data.records import Record, canonical_line
from training.data.tokenising import PieceTokenizer
from training.errors import StopTokenNotTrained

IGNORED: Final = -100
"""The label of a token that bears no loss."""


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

    def cut(self, max_length: int) -> "Row":
        """The row without what is longer, in tokens."""
        return self._replace(input_ids=self.input_ids[:max_length], labels=self.labels[:max_length])


@dataclass
class Rendered:
    """The rows of a dataset, and the lines of the records that lost something on the way."""

    rows: list[Row] = field(default_factory=list)
    truncated: list[int] = field(default_factory=list)
    """Cut at the end to fit, and trained on what is left."""
    dropped: list[int] = field(default_factory=list)
    """Left without a token that bears loss, and not trained on."""


@dataclass(frozen=True)
class Renderer:
    """Renders records of one type for one model, whose tokenizer carries the run's template."""

    tokenizer: PreTrainedTokenizerBase
    data_type: DataType
    stop_token_ids: frozenset[int]
    """Every token at which generation stops."""
    max_length: int
    """In tokens; longer rows are cut at the end."""
    train_on: TrainOn = TrainOn.ASSISTANT

    def render(self, records: Iterable[tuple[int, Record]]) -> Rendered:
        """All numbered records as rows, in order. Raises what `row` raises."""
        rendered = Rendered()
        for line, record in records:
            whole = self.row(line, record)
            row = whole.cut(self.max_length)
            if row.trained_tokens == 0:
                rendered.dropped.append(line)
                continue
            if len(whole.input_ids) > self.max_length:
                rendered.truncated.append(line)
            rendered.rows.append(row)
        return rendered

    def row(self, line: int, record: Record) -> Row:
        """A record as a row, however long it is.

        Raises `NoChatTemplate`, `TemplateUnusable`, `TemplateFailed`, `TemplateNotPrefixStable` or
        `StopTokenNotTrained` where the template cannot be trained exactly.
        """
        input_ids, labels = self._tokens(line, record)
        content = hashlib.sha256(canonical_line(record)).digest()
        return Row(line=line, input_ids=input_ids, labels=labels, content=content)

    @cached_property
    def fingerprint(self) -> str:
        """A hex digest of all that decides the tokens of a record, and which of them bear loss; the
        longest length is no part of it."""
        return fingerprint(
            self.tokenizer,
            data_type=self.data_type,
            train_on=self.train_on,
            stop_token_ids=self.stop_token_ids,
        )

    @cached_property
    def _pieces(self) -> PieceTokenizer:
        return PieceTokenizer(self.tokenizer)

    def _tokens(self, line: int, record: Record) -> tuple[list[int], list[int]]:
        """Ids and labels of a whole record; the first token, which nothing predicts, bears none."""
        if self.data_type in (DataType.CHAT, DataType.QA):
            input_ids, labels = self._conversation(line, record)
        elif self.data_type is DataType.COMPLETION:
            prompt = self._with_beginning(str(record["prompt"]))
            answer = self._closed(self._ids(str(record["completion"])), line)
            asked = prompt if self.train_on is TrainOn.ALL else [IGNORED] * len(prompt)
            input_ids, labels = prompt + answer, asked + answer
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
            train_on=self.train_on,
        )
        tokenised = self._pieces.ids([piece.text for piece in cut])
        for piece, ids in zip(cut, tokenised, strict=True):
            trained = self._trained(piece, ids, line)
            input_ids += ids
            labels += ids[:trained] + [IGNORED] * (len(ids) - trained)
        return input_ids, labels

    def _trained(self, piece: Piece, ids: Sequence[int], line: int) -> int:
        """How many tokens of a piece bear loss: of an assistant's turn all up to its stop token, so
        that the line feed some templates add after it does not."""
        if not piece.trained:
            return 0
        if not piece.said:
            return len(ids)
        end = self._end_of_turn(ids)
        if end is None:
            raise StopTokenNotTrained(line)
        return len(ids) if self.train_on is TrainOn.ALL else end

    def _end_of_turn(self, ids: Sequence[int]) -> int | None:
        """Behind the first of the stop tokens that a turn closes with, and behind the last in it
        where it closes with other text. Some templates close a conversation with one more."""
        end = None
        for index in range(len(ids) - 1, -1, -1):
            if ids[index] in self.stop_token_ids:
                end = index + 1
            elif end is not None and not self._is_blank(ids[index]):
                break
        return end

    def _is_blank(self, token_id: int) -> bool:
        return not str(self.tokenizer.decode([token_id])).strip()

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


def _message(role: str, content: object) -> Message:
    return {"role": role, "content": str(content)}
