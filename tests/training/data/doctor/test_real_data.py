"""Two published datasets, and what is true of them, counted by other means."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import chatterbot_corpus
import chitchat_dataset
import numpy as np
import pytest
import yaml

from training.config import DataType
from training.data.doctor.application import apply
from training.data.doctor.checks import Code, Strategy
from training.data.doctor.examination import Examination, examine
from training.data.doctor.leaks import find_leaks
from training.data.records import Record

ENGLISH = Path(str(chatterbot_corpus.__file__)).parent / "data" / "english"


@pytest.fixture(scope="module")
def support() -> Examination:
    content = yaml.safe_load((ENGLISH / "tech_support.yml").read_bytes())
    pairs = content["conversations"]
    return examine(
        DataType.QA,
        [(line, {"question": ask, "answer": say}) for line, (ask, say) in enumerate(pairs, 1)],
    )


def test_1050_pairs_that_are_10_are_reported_as_duplicates(support: Examination) -> None:
    report = support.report
    assert report.statistics.records == 1050
    assert (report.duplicates.groups, report.duplicates.records) == (10, 1040)
    assert [group.count for group in report.duplicates.largest] == [
        121, 118, 114, 105, 102, 102, 101, 101, 98, 88,
    ]  # fmt: skip
    assert [(each.code, each.count) for each in report.findings] == [(Code.DUPLICATE, 1040)]
    applied = apply(support.marks, {Code.DUPLICATE: Strategy.DROP})
    assert len(applied.kept) == 10
    assert applied.outcome.dropped.count == 1040


def test_a_split_at_random_of_them_is_reported_as_a_leak(support: Examination) -> None:
    indices = list(range(1050))
    random.Random(0).shuffle(indices)
    validation, training = np.array(sorted(indices[:105])), np.array(sorted(indices[105:]))
    leaks = find_leaks(
        support.fingerprints.take(training), support.fingerprints.take(validation)
    ).leaks
    assert (leaks.equal, leaks.near) == (105, 0)


@pytest.fixture(scope="module")
def talk() -> list[list[list[str]]]:
    """Conversations of turns of messages, the blank ones left out."""
    file = Path(str(chitchat_dataset.__file__)).parent / "dataset.json"
    return [
        [
            [said["text"] for said in turn if said["text"].strip()]
            for turn in conversation["messages"]
        ]
        for conversation in json.loads(file.read_bytes()).values()
    ]


@pytest.mark.slow
def test_258_thousand_messages_have_true_figures(talk: list[list[list[str]]]) -> None:
    texts = [said for conversation in talk for turn in conversation for said in turn]
    assert len(texts) == 258_112  # of 258,145, less the blank ones
    examination = examine(
        DataType.TEXT, [(line, {"text": text}) for line, text in enumerate(texts, 1)]
    )
    report, counts = examination.report, Counter(texts)
    assert report.statistics.records == len(texts)
    assert report.statistics.characters == sum(map(len, texts)) == 12_486_783
    assert report.statistics.duplicates == len(texts) - len(counts)
    assert report.duplicates.groups == sum(count > 1 for count in counts.values())
    assert [group.count for group in report.duplicates.largest] == [
        count for _, count in counts.most_common(20)
    ]
    ordered = sorted(map(len, texts))
    assert report.statistics.length_percentiles == tuple(
        (percent, ordered[-(-len(texts) * percent // 100) - 1])
        for percent in (5, 25, 50, 75, 95, 100)
    )
    addresses = tuple(
        line for line, text in enumerate(texts, 1) if re.search(r"\S@\S+\.[a-z]{2,}", text)
    )
    found = {each.code: each for each in report.findings}
    assert found[Code.EMAIL_ADDRESS].lines == addresses
    assert report.languages is not None
    assert report.languages.counts["en"] > 0.7 * report.languages.sampled
    kept = apply(examination.marks, {Code.DUPLICATE: Strategy.DROP}).kept
    assert [texts[line - 1] for line in kept] == list(counts)


@pytest.mark.slow
def test_thousands_of_conversations_have_true_figures(talk: list[list[list[str]]]) -> None:
    records = list(filter(None, map(as_asked_and_answered, talk)))
    report = examine(DataType.CHAT, enumerate(records, 1)).report
    messages = [record["messages"] for record in records]
    assert report.statistics.records == len(records) == 4017
    assert report.statistics.turns == sum(len(each) for each in messages if isinstance(each, list))
    assert report.duplicates.records == len(records) - len({str(each) for each in messages})


def as_asked_and_answered(turns: list[list[str]]) -> Record:
    """As a user would bring it: one speaker asks, the other answers."""
    said = [" ".join(turn) for turn in turns if turn]
    messages = [
        {"role": role, "content": text}
        for role, text in zip(("user", "assistant") * (len(said) // 2), said, strict=False)
    ]
    return {"messages": messages} if messages else {}
