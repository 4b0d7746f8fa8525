"""Where records have labels, and why they have none."""

import hashlib
from collections.abc import Sequence

import pytest

from training.config import DataType
from training.data.labels import MAX_LABELS, Labels, Unlabelled, find_labels
from training.data.records import Record, canonical_line


def found(data_type: DataType, records: Sequence[Record]) -> Labels | Unlabelled:
    return find_labels(
        data_type,
        ((hashlib.sha256(canonical_line(each)).digest(), each) for each in records),
    )


def qa(question: object, answer: str, **more: str) -> Record:
    return {"question": str(question), "answer": answer, **more}


def chat(question: str, answer: str, system: str | None = None) -> Record:
    systems = [{"role": "system", "content": system}] if system else []
    messages = [
        *systems,
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages}


@pytest.mark.parametrize(
    ("data_type", "records", "field"),
    [
        (DataType.QA, [qa(n, "yes" if n % 3 else "no") for n in range(9)], "answer"),
        (
            DataType.COMPLETION,
            [{"prompt": str(n), "completion": "yes" if n % 3 else "no"} for n in range(9)],
            "completion",
        ),
        (DataType.CHAT, [chat(str(n), "yes" if n % 3 else "no") for n in range(9)], "last answer"),
        (
            DataType.CODE,
            [{"code": f"x = {n}"} | ({"language": "python"} if n % 3 else {}) for n in range(9)],
            "language",
        ),
    ],
)
def test_a_few_texts_that_many_records_bear_are_labels(
    data_type: DataType, records: list[Record], field: str
) -> None:
    labels = found(data_type, records)
    assert isinstance(labels, Labels)
    assert labels.field == field
    assert list(labels.of_record) == [0, 1, 1, 0, 1, 1, 0, 1, 1]


def test_where_answers_differ_a_system_prompt_that_names_the_task_is_the_label() -> None:
    questions = [qa(n, f"answer {n}", system="sum" if n % 2 else "spell") for n in range(60)]
    labels = found(DataType.QA, questions)
    assert isinstance(labels, Labels)
    assert (labels.field, list(labels.of_record)) == ("system prompt", [0, 1] * 30)
    chats = [chat(str(n), f"answer {n}", "sum" if n % 2 else None) for n in range(60)]
    labels = found(DataType.CHAT, chats)
    assert isinstance(labels, Labels)
    assert (labels.field, list(labels.of_record)) == ("system prompt", [0, 1] * 30)


@pytest.mark.parametrize(
    ("data_type", "records", "reason"),
    [
        (DataType.TEXT, [{"text": "one"}], "Records of type TEXT have no labels."),
        (
            DataType.COMPLETION,
            [{"prompt": str(n), "completion": str(n % 51)} for n in range(200)],
            f"The completion is one of more than {MAX_LABELS} texts.",
        ),
        (
            DataType.COMPLETION,
            [{"prompt": str(n), "completion": "yes"} for n in range(5)],
            "The completion is the same in all records.",
        ),
        (
            DataType.QA,
            [qa(1, "yes"), qa(2, "yes"), qa(3, "no"), qa(3, "no")],  # twice the same record
            "The answer 'no' is that of a single record. The system prompt is the same in all "
            "records.",
        ),
    ],
)
def test_records_without_labels_say_why(
    data_type: DataType, records: list[Record], reason: str
) -> None:
    assert found(data_type, records) == Unlabelled(reason)


def test_as_many_labels_as_allowed_are_labels() -> None:
    records: list[Record] = [{"prompt": str(n), "completion": str(n % 50)} for n in range(200)]
    labels = found(DataType.COMPLETION, records)
    assert isinstance(labels, Labels)
    assert list(labels.of_record) == [n % 50 for n in range(200)]
