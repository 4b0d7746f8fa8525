"""How long rows are thought to be, against the rows that a tokenizer makes."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from tests.training.data.files import statistics
from training.config import DataType, OnTooLong, TrainingType, resolve
from training.data.records import canonical_line, parse
from training.data.rendering import Renderer
from training.models.facts import TokenizerFacts
from training.models.tokenizers import load_tokenizer
from training.models.tokens import tokenizer_facts
from training.steps.expected import ExpectedRows, Stored, expected_rows

WORDS = [
    "the",
    "model",
    "is",
    "trained",
    "on",
    "texts",
    "of",
    "some",
    "length",
    "and",
    "answers",
    "in",
    "as",
    "many",
    "words",
]


def stored(data_type: DataType, records: Sequence[dict[str, Any]]) -> Stored:
    content = b"".join(map(canonical_line, records))
    return Stored(data_type, len(content), statistics(data_type, records))


def told(dataset: Stored, tokenizer: TokenizerFacts, **choices: Any) -> ExpectedRows:
    rows = expected_rows(dataset, tokenizer, resolve(TrainingType.LORA, choices))
    assert rows is not None
    return rows


def text(words: int) -> str:
    return " ".join(WORDS[n % len(WORDS)] for n in range(words))


def record(data_type: DataType, words: int) -> dict[str, Any]:
    question, answer = text(words), text(2 * words)
    raw: dict[DataType, dict[str, Any]] = {
        DataType.TEXT: {"text": question},
        DataType.QA: {"question": question, "answer": answer},
        DataType.COMPLETION: {"prompt": question, "completion": answer},
        DataType.CHAT: {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            * 2
        },
    }
    return parse(data_type, raw[data_type])


@pytest.mark.parametrize(
    "data_type", [DataType.TEXT, DataType.QA, DataType.COMPLETION, DataType.CHAT]
)
def test_rows_are_about_as_long_as_a_tokenizer_makes_them(
    data_type: DataType, tiny_model: Path
) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    facts = tokenizer_facts(tokenizer)
    assert facts is not None
    records = [record(data_type, 10 + n % 40) for n in range(80)]
    end = tokenizer.eos_token_id
    renderer = Renderer(tokenizer, data_type, frozenset({int(end)}), max_length=512)
    real = [row.cut(512) for row in renderer.rows(list(enumerate(records, 1)))]
    rows = told(stored(data_type, records), facts, validation_split=0.0, max_sequence_length=512)
    lengths = [len(row.input_ids) for row in real]
    assert rows.count == 80
    assert rows.mean == pytest.approx(fmean(lengths), rel=0.2)
    assert rows.longest == pytest.approx(max(lengths), rel=0.2)
    config = resolve(TrainingType.LORA, {"epochs": 2, "max_sequence_length": 512})
    tokens = rows.trained_tokens(config)
    assert tokens == pytest.approx(2 * sum(row.trained_tokens for row in real), rel=0.25)


def test_letters_of_several_bytes_count_as_such() -> None:
    facts = TokenizerFacts(bytes_per_token=3.0, tokens_per_message=0.0)
    plain, wide = (
        told(stored(DataType.TEXT, [{"text": 300 * letter}] * 10), facts) for letter in ("a", "字")
    )
    assert plain.mean == pytest.approx(101, rel=0.01)
    assert wide.mean == pytest.approx(301, rel=0.01)


def test_rows_are_cut_where_the_config_says() -> None:
    facts = TokenizerFacts(bytes_per_token=1.0, tokens_per_message=0.0)
    rows = told(stored(DataType.TEXT, [{"text": 400 * "a"}] * 10), facts, max_sequence_length=64)
    assert (rows.mean, rows.longest, rows.deviation) == (64, 64, 0)


def test_rows_that_will_be_left_out_are_not_counted() -> None:
    facts = TokenizerFacts(bytes_per_token=1.0, tokens_per_message=0.0)
    dataset = stored(DataType.TEXT, [{"text": length * "a"} for length in [30] * 75 + [400] * 25])
    choices = {"max_sequence_length": 200, "on_too_long": OnTooLong.DROP}
    rows = told(dataset, facts, validation_split=0.0, **choices)
    assert rows.count == pytest.approx(75, abs=5)
    cut = told(dataset, facts, validation_split=0.0, max_sequence_length=200)
    assert (cut.count, rows.mean < cut.mean) == (100, True)
    none = resolve(TrainingType.LORA, choices | {"max_sequence_length": 8})
    assert expected_rows(dataset, facts, none) is None


def test_steps_and_tokens_are_those_of_the_whole_run() -> None:
    facts = TokenizerFacts(bytes_per_token=1.0, tokens_per_message=0.0)
    dataset = stored(DataType.COMPLETION, [{"prompt": "a" * 30, "completion": "b" * 69}] * 100)
    choices = {"validation_split": 0.2, "epochs": 3, "batch_size": 8}
    rows = told(dataset, facts, **choices)
    assert (rows.count, rows.steps) == (80, 30)
    assert rows.trained_tokens(resolve(TrainingType.LORA, choices)) == round(240 * 100 * 69 / 99)
    short = choices | {"max_steps": 5}
    rows = told(dataset, facts, **short)
    assert rows.steps == 5
    assert rows.trained_tokens(resolve(TrainingType.LORA, short)) == round(40 * 100 * 69 / 99)


def test_statistics_of_before_say_nothing_of_trained_tokens() -> None:
    facts = TokenizerFacts(bytes_per_token=1.0, tokens_per_message=0.0)
    dataset = stored(DataType.TEXT, [{"text": "abc"}] * 10)
    older = dataset.statistics.model_copy(update={"trained_characters": None})
    rows = told(Stored(dataset.data_type, dataset.size_bytes, older), facts)
    assert rows.trained_tokens(resolve(TrainingType.LORA, {})) is None


def test_no_records_make_no_rows() -> None:
    facts = TokenizerFacts(bytes_per_token=1.0, tokens_per_message=0.0)
    config = resolve(TrainingType.LORA, {})
    assert expected_rows(stored(DataType.TEXT, []), facts, config) is None
