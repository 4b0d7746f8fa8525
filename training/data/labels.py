"""The labels of records, where they have any: few texts of which each is borne by many records.

That is an answer of a classification, a system prompt that names a task, or the language of code.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from training.config import DataType
from training.data.conversations import trained
from training.data.fields import shortened
from training.data.records import Record

__all__ = ["MAX_LABELS", "Labels", "Unlabelled", "find_labels"]

MAX_LABELS: Final = 50
"""More texts than these are no labels, but answers."""


class Labels(NamedTuple):
    """A label for each record, as a number from 0 in the order in which they are first borne."""

    field: str
    """Where the labels stand in a record, for people."""
    of_record: Sequence[int]


class Unlabelled(NamedTuple):
    """Records without labels; `reason` says why, in a sentence for each place of them."""

    reason: str


def find_labels(
    data_type: DataType, records: Iterable[tuple[bytes, Record]]
) -> Labels | Unlabelled:
    """The labels of records, each given with the digest of its content, in their order.

    They stand in the first place, of those that the type has, that bears at least two and at most
    `MAX_LABELS` texts, each in two different records at least, so that both sides of a split can
    have it.
    """
    candidates = [_Candidate(name) for name in _PLACES[data_type]]
    for content, record in records:
        texts = _texts(data_type, record)
        for candidate in candidates:
            candidate.take(content, texts[candidate.name])
    reasons = [(each, each.fault()) for each in candidates]
    for candidate, reason in reasons:
        if reason is None:
            return Labels(candidate.name, candidate.of_record)
    faults = " ".join(reason for _, reason in reasons if reason)
    return Unlabelled(faults or f"Records of type {data_type} have no labels.")


_PLACES: Final[Mapping[DataType, tuple[str, ...]]] = {
    DataType.TEXT: (),
    DataType.CODE: ("language",),
    DataType.QA: ("answer", "system prompt"),
    DataType.COMPLETION: ("completion",),
    DataType.CHAT: ("last answer", "system prompt"),
}
"""Where labels may stand, the likeliest first."""


class _Candidate:
    """A place of labels, for as long as it bears few enough texts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.of_record = array("H")
        self.numbers: dict[str, int] = {}
        self.contents: list[set[bytes]] = []
        """Of each label, digests of two records that bear it, or of the only one."""
        self.overflows = False

    def take(self, content: bytes, text: str) -> None:
        """Note what a record bears here."""
        if self.overflows:
            return
        number = self.numbers.setdefault(text, len(self.numbers))
        if number == len(self.contents):
            self.contents.append(set())
        if len(self.contents) > MAX_LABELS:
            self.overflows = True
            self.of_record = array("H")
            return
        if len(self.contents[number]) < 2:
            self.contents[number].add(content)
        self.of_record.append(number)

    def fault(self) -> str | None:
        """Why this is no place of labels, or None where it is."""
        if self.overflows:
            return f"The {self.name} is one of more than {MAX_LABELS} texts."
        if len(self.numbers) < 2:
            return f"The {self.name} is the same in all records."
        for text, number in self.numbers.items():
            if len(self.contents[number]) < 2:
                return f"The {self.name} {shortened(text)!r} is that of a single record."
        return None


def _texts(data_type: DataType, record: Record) -> dict[str, str]:
    """What stands where labels may; a missing text is an empty one."""
    match data_type:
        case DataType.CODE:
            return {"language": str(record.get("language", ""))}
        case DataType.QA:
            system = str(record.get("system", ""))
            return {"answer": str(record["answer"]), "system prompt": system}
        case DataType.COMPLETION:
            return {"completion": str(record["completion"])}
        case DataType.CHAT:
            return _said(record)
        case DataType.TEXT:
            return {}


def _said(record: Record) -> dict[str, str]:
    messages = record["messages"]
    assert isinstance(messages, list)  # noqa: S101 - canonical records hold nothing else
    answers = [str(each.get("content", "")) for each in messages if trained(each)]
    systems = [str(each["content"]) for each in messages if each["role"] == "system"]
    return {
        "last answer": answers[-1] if answers else "",
        "system prompt": "\n".join(systems),
    }
