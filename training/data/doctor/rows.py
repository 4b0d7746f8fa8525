"""The doctor's look at records as rows of tokens: what the loop will see, and what it will not.

Rows are looked at whole, before any limit to their length is applied. The service must not import
this module: it brings transformers.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, TokenizersBackend

from training.config import DataType
from training.data.doctor.checks import BITS, Code
from training.data.doctor.contents import written
from training.data.doctor.marks import Marks
from training.data.doctor.report import TokenStatistics
from training.data.doctor.tokens import RowLengths
from training.data.records import Record
from training.data.rows import IGNORED

__all__ = ["RowDoctor", "RowExamination"]

_BORDER_TOKENS: Final = 6
"""How many tokens on either side of a border can be merged across it."""
_BORDERS_REMEMBERED: Final = 1 << 12


class Row(Protocol):
    """A record in tokens, wherever it lies."""

    @property
    def line(self) -> int:
        """The record's."""

    @property
    def input_ids(self) -> Sequence[int]:
        """All of its tokens."""

    @property
    def labels(self) -> Sequence[int]:
        """The same, or `IGNORED` where a token bears no loss."""


class RowExamination(NamedTuple):
    """What was found, of all rows together and of each."""

    tokens: TokenStatistics
    marks: Marks


class RowDoctor:
    """Looks at the rows of one dataset, one after the other, in ascending order of their lines."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data_type: DataType,
        *,
        stop_token_ids: Iterable[int],
        max_length: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._data_type = data_type
        self._stops = np.array(sorted(stop_token_ids), np.int64)
        self._unknown = _unknown_id(tokenizer)
        self._control = _control_tokens(tokenizer)
        self._merges = lru_cache(_BORDERS_REMEMBERED)(_merging(tokenizer))
        self._max_length = max_length
        self._lengths = RowLengths(max_length)
        self._lines, self._bits = bytearray(), bytearray()

    def look(self, record: Record, row: Row) -> None:
        """Take in one record and the row it became."""
        ids = np.asarray(row.input_ids, np.int64)
        trained = np.asarray(row.labels, np.int64) != IGNORED
        unknown = 0 if self._unknown is None else int((ids == self._unknown).sum())
        self._lengths.add(trained, unknown)
        marks = BITS[Code.UNKNOWN_TOKENS] if unknown else 0
        bos = self._tokenizer.bos_token_id
        if bos is not None and len(ids) > 1 and ids[0] == ids[1] == bos:
            marks |= BITS[Code.DOUBLED_BOS]
        marks |= self._length_marks(ids, trained) | self._stretch_marks(ids, trained)
        marks |= self._content_marks(written(self._data_type, record), ids)
        self._lines += np.uint32(row.line).tobytes()
        self._bits += np.uint64(marks).tobytes()

    def examination(self) -> RowExamination:
        """What was found of all rows that were looked at."""
        lines = np.frombuffer(bytes(self._lines), np.uint32)
        bits = np.frombuffer(bytes(self._bits), np.uint64)
        return RowExamination(self._lengths.statistics(), Marks(lines, bits))

    def _length_marks(self, ids: NDArray[np.int64], trained: NDArray[np.bool_]) -> int:
        marks, end = 0 if trained.any() else BITS[Code.NO_TRAINED_TOKEN], self._max_length
        if len(ids) <= end:
            return marks
        marks |= BITS[Code.TOO_LONG]
        if marks & BITS[Code.NO_TRAINED_TOKEN]:
            return marks
        if not trained[:end].any():
            marks |= BITS[Code.NO_TRAINED_TOKEN_LEFT]
        elif trained[end - 1] and trained[end] and ids[end - 1] not in self._stops:
            marks |= BITS[Code.ANSWER_CUT]
        return marks

    def _stretch_marks(self, ids: NDArray[np.int64], trained: NDArray[np.bool_]) -> int:
        """Of each stretch of trained tokens: an answer, or with everything trained the whole row."""
        marks = 0
        borders = np.flatnonzero(np.diff(trained, prepend=False, append=False))
        is_stop = np.isin(ids, self._stops)
        for start, end in zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True):
            if not is_stop[start:end].any():
                marks |= BITS[Code.STOP_TOKEN_NOT_TRAINED]
            left = ids[max(0, start - _BORDER_TOKENS) : start]
            right = ids[start : min(end, start + _BORDER_TOKENS)]
            # the first token of a row bears no loss whatever it is: that is no border
            border = start > 1 or (start == 1 and self._data_type is DataType.COMPLETION)
            if border and self._merges(tuple(left.tolist()), tuple(right.tolist())):
                marks |= BITS[Code.BOUNDARY_MERGE]
        return marks

    def _content_marks(self, texts: Sequence[str], ids: NDArray[np.int64]) -> int:
        marks = 0
        if any(map(self._control.search, texts)):
            marks |= BITS[Code.CONTENT_AS_CONTROL_TOKENS]
        read = _decoded(self._tokenizer, ids.tolist())
        if not all(text.strip() in read for text in texts):
            marks |= BITS[Code.CONTENT_CHANGED]
        return marks


def _unknown_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token of unknown characters, where it has no other meaning; byte-level ones need none."""
    unknown = tokenizer.unk_token_id
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return None if unknown is None or unknown in others else int(unknown)


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Every text that the tokenizer reads as one control token."""
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens.update(token for token in tokenizer.all_special_tokens)
    longest_first = sorted((token for token in tokens if token.strip()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _merging(
    tokenizer: PreTrainedTokenizerBase,
) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    """Whether the texts of two lists of tokens give other tokens together than apart."""

    def merges(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
        texts = [_decoded(tokenizer, left), _decoded(tokenizer, right)]
        texts.append("".join(texts))
        before, after, together = tokenizer(texts, add_special_tokens=False)["input_ids"]
        return bool(together != before + after)

    return merges


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    if _decodes_by_its_backend(type(tokenizer)):
        # half the time: the tokenizer would ask of each id what it is
        return str(tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=False))
    text = tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return str(text)


def _decodes_by_its_backend(kind: type[PreTrainedTokenizerBase]) -> bool:
    return (
        issubclass(kind, TokenizersBackend)
        and kind.decode is TokenizersBackend.decode
        and kind._decode is TokenizersBackend._decode
    )
