"""The doctor's look at canonical records, read once and in bounded memory: no tokenizer needed.

About 100 bytes are kept of each record, whatever its length.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.config import DataType
from training.data.doctor.characters import character_marks, shows_nothing
from training.data.doctor.checks import BITS, Code
from training.data.doctor.contents import Content, content_of
from training.data.doctor.duplicates import First, conflicting, duplicates, first_equal
from training.data.doctor.fingerprints import Fingerprints, as_digests
from training.data.doctor.languages import LanguageSample
from training.data.doctor.lengths import far_apart, histogram, percentiles
from training.data.doctor.marks import Marks, findings, patterns
from training.data.doctor.near import near_groups
from training.data.doctor.personal import personal_marks
from training.data.doctor.report import Leaks, Report
from training.data.doctor.signatures import SIGNATURE_BYTES, signatures
from training.data.doctor.turns import turn_marks
from training.data.records import Record, Statistics, canonical_line

__all__ = ["Examination", "examine"]

_BATCH_RECORDS: Final = 2048
_BATCH_CHARACTERS: Final = 1 << 20
_DIGEST_BYTES: Final = 16


class Examination(NamedTuple):
    """What was found, of all records together and of each."""

    report: Report
    marks: Marks
    fingerprints: Fingerprints

    def with_marks(self, marks: Marks, *, leaks: Leaks | None = None) -> "Examination":
        """The examination with what else was found of the same records: as rows, or of leaks."""
        together = self.marks.with_those(marks)
        found = {
            "findings": findings(together),
            "patterns": patterns(together),
            "leaks": leaks or self.report.leaks,
        }
        return self._replace(report=self.report.model_copy(update=found), marks=together)


def examine(data_type: DataType, records: Iterable[tuple[int, Record]]) -> Examination:
    """Look at numbered canonical records, in ascending order of their lines."""
    seen = _Seen(data_type)
    for batch in _batches(data_type, records):
        seen.add(batch)
    return seen.examination()


class _Looked(NamedTuple):
    """A record, and what is seen of it alone."""

    line: int
    content: Content
    digest: bytes
    marks: int


def _batches(data_type: DataType, records: Iterable[tuple[int, Record]]) -> Iterator[list[_Looked]]:
    """The records looked at one by one, as many at once as memory should hold."""
    batch: list[_Looked] = []
    characters = 0
    for line, record in records:
        looked = _look(data_type, line, record)
        batch.append(looked)
        characters += looked.content.characters
        if len(batch) == _BATCH_RECORDS or characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _look(data_type: DataType, line: int, record: Record) -> _Looked:
    content = content_of(data_type, record)
    text = content.whole
    marks = character_marks(text) | personal_marks(text) | turn_marks(data_type, record, content)
    if not text.isascii() and any(map(shows_nothing, content.turns)):
        marks |= BITS[Code.INVISIBLE_TEXT]
    return _Looked(line, content, hashlib.sha256(canonical_line(record)).digest(), marks)


class _Seen:
    """What is kept of the records that went by."""

    def __init__(self, data_type: DataType) -> None:
        self._data_type = data_type
        self._languages = LanguageSample()
        self._messages = self._trained_characters = 0
        # growing in place, as arrays cannot
        self._lines, self._lengths, self._bits = bytearray(), bytearray(), bytearray()
        self._digests, self._prompts, self._signatures = bytearray(), bytearray(), bytearray()

    def add(self, batch: list[_Looked]) -> None:
        contents = [looked.content for looked in batch]
        bodies = [content.body for content in contents]
        digests = b"".join(looked.digest[:_DIGEST_BYTES] for looked in batch)
        signed, worded = signatures(bodies)
        # without a letter there is nothing to be near in: near to its equals alone
        alone = np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES)[~worded]
        signed[~worded] = np.tile(alone, SIGNATURE_BYTES // _DIGEST_BYTES)
        self._lines += np.array([looked.line for looked in batch], np.uint32).tobytes()
        self._lengths += np.array([each.characters for each in contents], np.uint32).tobytes()
        self._bits += np.array([looked.marks for looked in batch], np.uint64).tobytes()
        self._digests += digests
        self._prompts += b"".join(map(_prompt_key, contents))
        self._signatures += signed.tobytes()
        for content, body in zip(contents, bodies, strict=True):
            self._messages += content.messages
            self._trained_characters += content.trained_characters
            self._languages.offer(body)

    def examination(self) -> Examination:
        lines = np.frombuffer(self._lines, np.uint32)
        lengths = np.frombuffer(self._lengths, np.uint32)
        bits = np.frombuffer(self._bits, np.uint64)
        digests = as_digests(self._digests)
        signed = np.frombuffer(self._signatures, np.uint8).reshape(-1, SIGNATURE_BYTES)
        first = first_equal(digests[:, 0], digests[:, 1])
        near = near_groups(signed, np.flatnonzero(~_later(first)).astype(np.int32))
        prompts = np.frombuffer(self._prompts, np.uint64)
        _mark(bits, Code.DUPLICATE, _later(first))
        _mark(bits, Code.NEAR_DUPLICATE, _later(near))
        _mark(bits, Code.CONFLICTING_ANSWERS, conflicting(prompts, first))
        short, long = far_apart(lengths)
        _mark(bits, Code.UNUSUALLY_SHORT, short)
        _mark(bits, Code.UNUSUALLY_LONG, long)
        marks = Marks(lines, bits)
        repeated = duplicates(first, lines)
        report = Report(
            findings=findings(marks),
            patterns=patterns(marks),
            statistics=self._statistics(lengths, repeated.records),
            histogram=histogram(lengths),
            duplicates=repeated,
            near_duplicates=duplicates(near, lines),
            languages=None if self._data_type is DataType.CODE else self._languages.languages(),
        )
        return Examination(report, marks, Fingerprints(lines, digests, signed))

    def _statistics(self, lengths: NDArray[np.uint32], repeated: int) -> Statistics:
        return Statistics(
            records=len(lengths),
            characters=int(lengths.sum(dtype=np.int64)),
            duplicates=repeated,
            turns=self._messages if self._data_type is DataType.CHAT else None,
            length_percentiles=percentiles(lengths),
            trained_characters=self._trained_characters,
        )


def _later(first: First) -> NDArray[np.bool_]:
    """Which are not the first of their group."""
    return np.not_equal(first, np.arange(len(first), dtype=np.int32))


def _mark(bits: NDArray[np.uint64], code: Code, those: NDArray[np.bool_] | First) -> None:
    bits[those] |= np.uint64(BITS[code])


def _prompt_key(content: Content) -> bytes:
    """Equal for prompts that differ in capitals and spaces alone; zero where there is none."""
    if content.prompt is None:
        return bytes(8)
    words = " ".join(content.prompt.casefold().split())
    return hashlib.blake2b(words.encode(), digest_size=8).digest()
