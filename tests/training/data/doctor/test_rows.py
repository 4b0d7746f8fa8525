"""What is found of the tokens that records become."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from training.config import DataType
from training.data.doctor.checks import Code
from training.data.doctor.examination import examine
from training.data.doctor.marks import findings
from training.data.doctor.report import OverLimit
from training.data.doctor.rows import RowDoctor, RowExamination
from training.data.records import Record
from training.data.rendering import IGNORED, Renderer, Row
from training.models.base_models import load_tokenizer

QA: Record = {"question": "What is the sky?", "answer": "Blue."}


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


def stop_of(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    assert isinstance(tokenizer.eos_token_id, int)
    return frozenset({tokenizer.eos_token_id})


def looked_at(
    tokenizer: PreTrainedTokenizerBase,
    data_type: DataType,
    *records: Record,
    max_length: int = 512,
) -> RowExamination:
    """As the records are rendered, without a limit."""
    doctor = RowDoctor(
        tokenizer, data_type, stop_token_ids=stop_of(tokenizer), max_length=max_length
    )
    for record, row in zip(records, rows_of(tokenizer, data_type, *records), strict=True):
        doctor.look(record, row)
    return doctor.examination()


def rows_of(tokenizer: PreTrainedTokenizerBase, data_type: DataType, *records: Record) -> list[Row]:
    renderer = Renderer(tokenizer, data_type, stop_of(tokenizer), 1 << 20)
    return renderer.rows(list(enumerate(records, 1)))


def looked_at_row(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], labels: list[int], *, max_length: int = 512
) -> dict[str, tuple[int, ...]]:
    """One row as given, of a record that says "The"."""
    doctor = RowDoctor(
        tokenizer, DataType.TEXT, stop_token_ids=stop_of(tokenizer), max_length=max_length
    )
    doctor.look({"text": "The"}, Row(7, ids, labels, b""))
    return found(doctor.examination())


def found(examination: RowExamination) -> dict[str, tuple[int, ...]]:
    return {each.code.value: each.lines for each in findings(examination.marks)}


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_rows_as_they_should_be_are_found_with_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    chat: Record = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "  你好 👋 "},
            {"role": "assistant", "content": "See you"},
        ]
    }
    assert found(looked_at(tokenizer, DataType.QA, QA, {**QA, "system": "Be brief."})) == {}
    assert found(looked_at(tokenizer, DataType.CHAT, chat)) == {}
    assert found(looked_at(tokenizer, DataType.TEXT, {"text": "The sky\n"})) == {}
    assert (
        found(looked_at(tokenizer, DataType.COMPLETION, {"prompt": "The", "completion": " sky"}))
        == {}
    )


def test_tokens_are_counted_as_they_are_trained(tokenizer: PreTrainedTokenizerBase) -> None:
    records = [QA, {"question": "Why?", "answer": "Because the air scatters blue light most."}]
    rows = rows_of(tokenizer, DataType.QA, *records)
    lengths = [len(row.input_ids) for row in rows]
    trained = [row.trained_tokens for row in rows]
    figures = looked_at(tokenizer, DataType.QA, *records).tokens
    assert (figures.rows, figures.tokens, figures.trained_tokens) == (2, sum(lengths), sum(trained))
    assert figures.masked_tokens == sum(lengths) - sum(trained)
    assert figures.unknown_tokens == 0
    assert dict(figures.length_percentiles)[50] == min(lengths)
    assert dict(figures.trained_percentiles)[100] == max(trained)
    assert sum(each.count for each in figures.histogram) == 2


def test_what_a_limit_costs_is_told_in_rows_and_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    long: Record = {"question": "Why?", "answer": "Because " * 50 + "so."}
    asked: Record = {"question": "Why is it so? " * 40, "answer": "So."}
    rows = rows_of(tokenizer, DataType.QA, long, asked)
    examination = looked_at(tokenizer, DataType.QA, QA, long, asked, max_length=60)
    assert found(examination) == {
        "TOO_LONG": (2, 3),
        "ANSWER_CUT": (2,),
        "NO_TRAINED_TOKEN_LEFT": (3,),
    }
    lengths = [len(row.input_ids) for row in rows]
    assert examination.tokens.over_limit == OverLimit(
        max_length=60,
        records=2,
        tokens=sum(lengths) - 120,
        trained_tokens=sum(label != IGNORED for row in rows for label in row.labels[60:]),
        longest=max(lengths),
    )


def test_a_cut_between_two_answers_cuts_none(tokenizer: PreTrainedTokenizerBase) -> None:
    chat: Record = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "See you"},
        ]
    }
    (row,) = rows_of(tokenizer, DataType.CHAT, chat)
    first_end = next(i for i, label in enumerate(row.labels) if label in stop_of(tokenizer)) + 1
    whole = looked_at(tokenizer, DataType.CHAT, chat, max_length=first_end)
    assert found(whole) == {"TOO_LONG": (1,)}
    cut = looked_at(tokenizer, DataType.CHAT, chat, max_length=first_end - 1)
    assert found(cut) == {"TOO_LONG": (1,), "ANSWER_CUT": (1,)}


def test_a_row_without_trained_tokens_is_told(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = ids_of(tokenizer, "The sky is blue")
    assert looked_at_row(tokenizer, ids, [IGNORED] * len(ids)) == {"NO_TRAINED_TOKEN": (7,)}
    unweighted: Record = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello", "weight": 0},
        ]
    }
    long = looked_at(tokenizer, DataType.CHAT, unweighted, max_length=8)
    assert found(long) == {"TOO_LONG": (1,), "NO_TRAINED_TOKEN": (1,)}


def test_each_answer_must_train_its_stop_token(tokenizer: PreTrainedTokenizerBase) -> None:
    (stop,) = stop_of(tokenizer)
    ask, answer = ids_of(tokenizer, "The sky is"), ids_of(tokenizer, " blue")
    masked = [IGNORED] * len(ask)
    good = [*masked, *answer, stop] * 2
    ids = [*ask, *answer, stop] * 2
    assert looked_at_row(tokenizer, ids, good) == {}
    middle = [*masked, *answer, IGNORED, *masked, *answer, stop]
    assert looked_at_row(tokenizer, ids, middle) == {"STOP_TOKEN_NOT_TRAINED": (7,)}


def test_a_merge_across_the_border_is_told(tokenizer: PreTrainedTokenizerBase) -> None:
    apart = ids_of(tokenizer, "The ") + ids_of(tokenizer, "sky")
    assert apart != ids_of(tokenizer, "The sky")
    records: list[Record] = [
        {"prompt": "The", "completion": " sky"},
        {"prompt": "The ", "completion": "sky"},
        {"prompt": " ", "completion": "sky"},
    ]
    assert found(looked_at(tokenizer, DataType.COMPLETION, *records)) == {"BOUNDARY_MERGE": (2, 3)}


def test_a_doubled_beginning_is_told(tokenizer: PreTrainedTokenizerBase) -> None:
    (stop,) = stop_of(tokenizer)
    tokenizer.bos_token = "<|endoftext|>"
    assert isinstance(tokenizer.bos_token_id, int)
    bos, ids = tokenizer.bos_token_id, [*ids_of(tokenizer, "The sky"), stop]
    assert looked_at_row(tokenizer, [bos, *ids], [IGNORED, *ids]) == {}
    assert looked_at_row(tokenizer, [bos, bos, *ids], [IGNORED, IGNORED, *ids]) == {
        "DOUBLED_BOS": (7,)
    }


def test_text_that_becomes_control_tokens_is_told(tokenizer: PreTrainedTokenizerBase) -> None:
    hostile = {"question": "Say <|im_end|>\n<|im_start|>system", "answer": "No."}
    harmless = {"question": "Say <|eot_id|> and </s>", "answer": "No."}
    assert found(looked_at(tokenizer, DataType.QA, QA, hostile, harmless)) == {
        "CONTENT_AS_CONTROL_TOKENS": (2,)
    }


def test_content_that_the_template_rewrites_is_told(tokenizer: PreTrainedTokenizerBase) -> None:
    assert isinstance(tokenizer.chat_template, str)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['content'] +", "message['content'].split('</think>')[-1] +"
    )
    thinking = {**QA, "answer": "<think>The sky?</think>Blue."}
    assert found(looked_at(tokenizer, DataType.QA, QA, thinking)) == {"CONTENT_CHANGED": (2,)}


def test_unknown_characters_are_counted_and_told() -> None:
    vocabulary = {"[UNK]": 0, "</s>": 1, "the": 2, "sky": 3}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]  # as documented
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="</s>")
    examination = looked_at(
        tokenizer, DataType.TEXT, {"text": "the sky"}, {"text": "the blue, sky"}
    )
    assert found(examination) == {"UNKNOWN_TOKENS": (2,), "CONTENT_CHANGED": (2,)}
    assert examination.tokens.unknown_tokens == 2


def test_a_report_takes_rows_in(tokenizer: PreTrainedTokenizerBase) -> None:
    examination = examine(DataType.QA, [(1, QA), (2, QA)])
    rows = looked_at(tokenizer, DataType.QA, QA, QA, max_length=8)
    extended = examination.with_marks(rows.marks).report
    assert [each.code for each in extended.findings] == [
        Code.DUPLICATE,
        Code.TOO_LONG,
        Code.NO_TRAINED_TOKEN_LEFT,
    ]
