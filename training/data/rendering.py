"""A record as tokens, and which of them bear loss.

Conversations go through the tokenizer's chat template. Their text is cut into pieces at the
borders of each assistant turn and the pieces are tokenised apart, so that what the model sees
before an answer is, token for token, what it will see when it is asked for one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from training.config import DataType, TrainOn
from training.data.chat import Piece, pieces
from training.data.conversations import Message
from training.data.encoding import ids_of
from training.data.fingerprints import fingerprint
from training.data.records import Record, canonical_line
from training.data.rows import IGNORED, Row
from training.data.tokenising import PieceTokenizer
from training.errors import StopTokenNotTrained


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

    def row(self, line: int, record: Record) -> Row:
        """A record as a row, however long it is. Raises what `rows` raises."""
        (row,) = self.rows([(line, record)])
        return row

    def rows(
        self, records: Sequence[tuple[int, Record]], contents: Sequence[bytes] | None = None
    ) -> list[Row]:
        """All numbered records as rows, in order and however long; their text is tokenised together.

        `contents` are the records' digests, where they are known. The first token, which nothing predicts, bears no loss. Raises `NoChatTemplate`,
        `TemplateUnusable`, `TemplateFailed`, `TemplateNotPrefixStable` or `StopTokenNotTrained`
        where the template cannot be trained exactly.
        """
        cut = [self._cut(line, record) for line, record in records]
        tokenised = self._tokenised([[piece.text for piece in parts] for parts in cut])
        if contents is None:
            contents = [hashlib.sha256(canonical_line(record)).digest() for _, record in records]
        rows = []
        for (line, _), parts, ids, content in zip(records, cut, tokenised, contents, strict=True):
            input_ids, labels = self._laid_out(line, parts, ids)
            labels[:1] = [IGNORED] * len(labels[:1])
            rows.append(Row(line=line, input_ids=input_ids, labels=labels, content=content))
        return rows

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

    @property
    def _frames_texts(self) -> bool:
        """Whether a row begins and ends as the tokenizer says; else the template says it."""
        return self.data_type not in (DataType.CHAT, DataType.QA)

    def _cut(self, line: int, record: Record) -> list[Piece]:
        if self.data_type is DataType.COMPLETION:
            asked = self.train_on is TrainOn.ALL
            return [
                Piece(str(record["prompt"]), asked, said=False),
                Piece(str(record["completion"]), True, said=False),
            ]
        if self._frames_texts:
            text = record["text" if self.data_type is DataType.TEXT else "code"]
            return [Piece(str(text), True, said=False)]
        tools = record.get("tools")
        return pieces(
            self.tokenizer,
            messages_of(record),
            line=line,
            tools=tools if isinstance(tools, list) else None,
            train_on=self.train_on,
        )

    def _tokenised(self, texts: list[list[str]]) -> list[list[list[int]]]:
        """The ids of every piece of each record."""
        if not self._frames_texts:
            return self._pieces.ids_of_each(texts)
        first = self._beginnings([parts[0] for parts in texts])
        rest = iter(ids_of(self.tokenizer, [text for parts in texts for text in parts[1:]]))
        return [
            [beginning, *(next(rest) for _ in parts[1:])]
            for beginning, parts in zip(first, texts, strict=True)
        ]

    def _laid_out(
        self, line: int, parts: Sequence[Piece], tokenised: Sequence[list[int]]
    ) -> tuple[list[int], list[int]]:
        """Ids and labels of a whole record."""
        input_ids: list[int] = []
        labels: list[int] = []
        for piece, ids in zip(parts, tokenised, strict=True):
            trained = self._trained(piece, ids, line)
            input_ids += ids
            labels += ids[:trained] + [IGNORED] * (len(ids) - trained)
        if self._frames_texts:
            end = self._end(line)
            input_ids.append(end)
            labels.append(end)
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
        known = self._blanks.get(token_id)
        if known is None:
            known = self._blanks[token_id] = not str(self.tokenizer.decode([token_id])).strip()
        return known

    @cached_property
    def _blanks(self) -> dict[int, bool]:
        """Of tokens whether they are blank, as far as that was asked."""
        return {}

    def _beginnings(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts at the start of a sequence: with the BOS token where the model wants one,
        without the EOS that some tokenizers add on their own."""
        found = ids_of(self.tokenizer, texts, framed=True)
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


def _message(role: str, content: object) -> Message:
    return {"role": role, "content": str(content)}
