"""How a format is found, corrected, and refused; and what becomes of each row."""

import pytest
from pydantic import ValidationError

from training.config import DataType
from training.data.containers.rows import RawRow
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.formats.mapping import Mapping
from training.data.formats.shapes import Format, Part
from training.data.records import Rejected
from training.errors import SourceUnreadable

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SAID = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]


def rows(*values: object) -> list[RawRow | Rejected]:
    return [RawRow(line, value) for line, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "code", "named"),
    [
        (
            [{"messages": TURNS, "question": "a", "answer": "b"}],
            "FORMAT_AMBIGUOUS",
            ["row 1", "MESSAGES ('messages')", "QUESTION_ANSWER ('question', 'answer')"],
        ),
        (
            [{"messages": TURNS, "conversations": SAID}],
            "FORMAT_AMBIGUOUS",
            ["MESSAGES ('messages')", "SHAREGPT ('conversations')"],
        ),
        (
            [{"instruction": "a", "output": "b", "text": "c"}],
            "FORMAT_AMBIGUOUS",
            ["ALPACA ('instruction', 'output')", "TEXT ('text')"],
        ),
        (
            [{"text": "a"}, {"question": "a", "answer": "b"}],
            "FORMATS_MIXED",
            ["row 1 is TEXT ('text')", "row 2 is QUESTION_ANSWER ('question', 'answer')"],
        ),
        (
            [{"question": "a", "query": "b", "answer": "c"}],
            "COLUMN_AMBIGUOUS",
            ["'question' and 'query'", "QUESTION"],
        ),
        ([{"messages": 7}], "FORMAT_UNKNOWN", ["'messages'"]),
        ([7, "text"], "FORMAT_UNKNOWN", ["none"]),
        ([], "FORMAT_UNKNOWN", ["none"]),
    ],
)
def test_what_fits_no_format_or_two_is_refused_by_name(
    values: list[object], code: str, named: list[str]
) -> None:
    with pytest.raises(SourceUnreadable) as refused:
        detect(rows(*values))
    assert refused.value.code == code
    for words in named:
        assert words in refused.value.message
    assert "mapping" in str(refused.value.remedy)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "'chosen' and 'rejected'"),
        ({"Chosen": TURNS, "rejected": TURNS}, "'Chosen' and 'rejected'"),
        (
            {"conversations": SAID[:1], "chosen": SAID[1], "rejected": SAID[1]},
            "'chosen' and 'rejected'",
        ),
        (
            {"input": {"messages": TURNS[:1]}, "preferred_output": [], "non_preferred_output": []},
            "'non_preferred_output' and 'preferred_output'",
        ),
        ({"messages": TURNS, "rejected_response": "no"}, "'rejected_response'"),
        ({"prompt": "a", "completion": "b", "label": False}, "'label'"),
        ({"instruction": "a", "output": "b", "kto_tag": True}, "'kto_tag'"),
    ],
)
def test_rows_that_compare_answers_are_refused_as_what_they_are(
    row: dict[str, object], columns: str
) -> None:
    with pytest.raises(SourceUnreadable) as refused:
        detect(rows({"messages": TURNS}, row))
    assert refused.value.code == "PREFERENCES"
    assert f"row 2 tells by {columns} which answers are liked" in refused.value.message


def test_a_label_that_is_a_class_is_an_extra_column() -> None:
    found = detect(rows({"text": "a", "label": 1}, {"text": "b", "label": "good", "chosen": None}))
    assert found.ignored == ("label", "chosen")


def test_extra_columns_are_listed_and_names_may_be_written_otherwise() -> None:
    found = detect(rows({" Question": "a", "ANSWER": "b", "id": 1}, {"source": "x"}))
    assert found == Mapping(
        format=Format.QUESTION_ANSWER,
        columns={Part.QUESTION: " Question", Part.ANSWER: "ANSWER"},
        ignored=("id", "source"),
    )


def test_a_column_that_holds_nothing_makes_no_second_format() -> None:
    found = detect(rows({"instruction": "a", "input": None, "output": "b", "text": None}))
    assert found.columns == {
        Part.INSTRUCTION: "instruction",
        Part.OUTPUT: "output",
        Part.INPUT: "input",
    }
    assert found.ignored == ("text",)


def test_a_format_that_is_wanted_is_mapped_and_the_other_ignored() -> None:
    values = rows({"instruction": "a", "input": "x", "output": "b", "text": "c"})
    found = detect(values, Format.TEXT)
    assert found.columns == {Part.TEXT: "text"}
    assert list(Converter(found).records(values)) == [(1, {"text": "c"})]
    assert Converter(detect(values, Format.ALPACA)).record(values[0].value) == {
        "question": "a\nx",
        "answer": "b",
    }


def test_rows_beyond_the_sample_are_not_read_to_detect() -> None:
    endless = (RawRow(line, {"text": "a"}) for line in iter(int, 1))
    assert detect(endless).format is Format.TEXT


def test_a_correction_takes_any_column_for_a_part() -> None:
    mapping = Mapping(
        format=Format.QUESTION_ANSWER,
        columns={Part.QUESTION: "Frage", Part.ANSWER: "Antwort"},
        ignored=("text",),
    )
    converter = Converter(mapping)
    values = rows({"Frage": "a", "Antwort": "b", "text": "c", "id": 1}, {"Frage": "a"})
    (first, second) = converter.records(values)
    assert first == (1, {"question": "a", "answer": "b"})
    assert isinstance(second, Rejected)
    assert (second.line, second.code) == (2, "MISSING_FIELD")
    assert "'Antwort'" in second.message
    assert dict(converter.left_out) == {"text": 1, "id": 1}


@pytest.mark.parametrize(
    ("columns", "ignored", "words"),
    [
        ({Part.QUESTION: "a"}, (), "needs a column for ANSWER"),
        ({Part.QUESTION: "a", Part.ANSWER: "a"}, (), "'a' is named twice"),
        ({Part.QUESTION: "a", Part.ANSWER: "b"}, ("b",), "'b' is named twice"),
        ({Part.QUESTION: "a", Part.ANSWER: "b", Part.CODE: "c"}, (), "has no part CODE"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(
    columns: dict[Part, str], ignored: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        Mapping(format=Format.QUESTION_ANSWER, columns=columns, ignored=ignored)


def test_a_mapping_is_the_same_after_its_own_json() -> None:
    found = detect(rows({"messages": TURNS, "tools": [], "id": 1}))
    assert Mapping.model_validate_json(found.model_dump_json()) == found


def test_a_later_row_that_fits_a_second_format_is_refused_and_names_both() -> None:
    values = rows({"messages": TURNS}, {"messages": TURNS, "text": "a"}, {"messages": TURNS})
    converter = Converter(detect(values[:1]))
    first, second, third = converter.records(values)
    assert first == (1, {"messages": TURNS})
    assert isinstance(second, Rejected)
    assert (second.line, second.code) == (2, "FORMAT_AMBIGUOUS")
    assert second.message == "The row is mapped as MESSAGES and also fits TEXT ('text')."
    assert third == (3, {"messages": TURNS})
    (other,) = converter.records(rows({"text": "a"}))
    assert isinstance(other, Rejected)
    assert other.message == "The row has no column of MESSAGES and fits TEXT ('text')."


def test_names_beyond_a_thousand_are_counted_together() -> None:
    converter = Converter(Mapping(format=Format.TEXT, columns={Part.TEXT: "text"}))
    for number in range(1200):
        converter.record({"text": "a", f"column {number}": 1})
    assert len(converter.left_out) == 1001
    assert converter.left_out["…"] == 200


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (7, "NOT_AN_OBJECT"),
        ({"id": 1}, "MISSING_FIELD"),
        ({"messages": "not JSON"}, "MALFORMED_JSON"),
        ({"messages": {}}, "NOT_A_LIST"),
        ({"messages": []}, "NO_MESSAGES"),
        ({"messages": [7]}, "NOT_AN_OBJECT"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "CONTENT_NOT_TEXT"),
        ({"messages": [*TURNS, {"role": "robot", "content": "a"}]}, "UNKNOWN_ROLE"),
        ({"messages": TURNS, "tools": "{}"}, "NOT_A_LIST"),
        ({"messages": TURNS, "tools": ["a"]}, "NOT_AN_OBJECT"),
    ],
)
def test_a_bad_conversation_is_refused_by_code(value: object, code: str) -> None:
    mapping = Mapping(
        format=Format.MESSAGES, columns={Part.MESSAGES: "messages", Part.TOOLS: "tools"}
    )
    (refused,) = Converter(mapping).records(rows(value))
    assert isinstance(refused, Rejected)
    assert refused.code == code


@pytest.mark.parametrize(
    ("turns", "code"),
    [
        ([{"from": "human"}], "MISSING_FIELD"),
        ([{"from": ["human"], "value": "a"}], "UNKNOWN_ROLE"),
        ([{"from": "narrator", "value": "a"}], "UNKNOWN_ROLE"),
        ([{"from": "function_call", "value": "not JSON"}], "MALFORMED_JSON"),
        ([{"from": "gpt", "value": "a"}], "ROLES_NOT_ALTERNATING"),
        ([*SAID, {"from": "human", "value": "a"}], "LAST_NOT_ASSISTANT"),
    ],
)
def test_a_bad_sharegpt_conversation_is_refused_by_code(turns: object, code: str) -> None:
    mapping = Mapping(format=Format.SHAREGPT, columns={Part.MESSAGES: "conversations"})
    (refused,) = Converter(mapping).records(rows({"conversations": turns}))
    assert isinstance(refused, Rejected)
    assert refused.code == code


@pytest.mark.parametrize("history", ["x", [["a"]], [["a", 7]], [{"a": "b"}]])
def test_a_history_that_is_not_pairs_is_refused(history: object) -> None:
    columns = {Part.QUESTION: "query", Part.ANSWER: "response", Part.HISTORY: "history"}
    mapping = Mapping(format=Format.QUESTION_ANSWER, columns=columns)
    assert mapping.data_type is DataType.CHAT
    value = {"query": "a", "response": "b", "history": history}
    (refused,) = Converter(mapping).records(rows(value))
    assert isinstance(refused, Rejected)


def test_an_alpaca_row_without_history_in_a_file_that_has_it_is_a_conversation_too() -> None:
    values = rows(
        {"instruction": "a", "output": "b", "history": [["c", "d"]]},
        {"instruction": "a", "input": "", "output": "b", "history": []},
    )
    records = [row[1] for row in Converter(detect(values)).records(values)]
    said = [[turn["content"] for turn in record["messages"]] for record in records]
    assert said == [["c", "d", "a", "b"], ["a", "b"]]
