"""Records of all five types, good and hostile."""

import json

import pytest

from tests.training.data.files import statistics
from training.config import DataType
from training.data.records import canonical_line, parse, validate
from training.errors import RecordError

GOOD = [
    (DataType.TEXT, {"text": "Some text."}),
    (DataType.CODE, {"code": "x = 1", "language": "python"}),
    (DataType.CODE, {"code": "x = 1"}),
    (DataType.QA, {"question": "Why?", "answer": "Because.", "system": "Be brief."}),
    (DataType.QA, {"question": "Why?", "answer": "Because."}),
    (DataType.COMPLETION, {"prompt": "Once upon", "completion": " a time"}),
    (
        DataType.CHAT,
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "Bye"},
                {"role": "assistant", "content": "See you"},
            ]
        },
    ),
]

CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": [1, None, "x"]}}}
GOOD += [
    (
        DataType.CHAT,
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Wait.", "tool_calls": [CALL, CALL | {"id": "2"}]},
                {"role": "tool", "content": "a", "name": "look"},
                {"role": "tool", "content": "b", "tool_call_id": "2"},
                {"role": "assistant", "content": "Hello", "weight": 0},
                {"role": "user", "content": "Bye"},
                {"role": "assistant", "tool_calls": [CALL]},
            ],
            "tools": [{"type": "function", "function": {"name": "look"}}],
        },
    )
]


def chat(*roles: str) -> dict[str, object]:
    return {"messages": [{"role": role, "content": "Hi"} for role in roles]}


def answered(**fields: object) -> dict[str, list[object]]:
    """A question and an answer with these fields."""
    answer = {"role": "assistant", "content": "Hello"} | fields
    return {"messages": [{"role": "user", "content": "Hi"}, answer]}


def called(arguments: object) -> dict[str, object]:
    return {"function": {"name": "look", "arguments": arguments}}


BAD = [
    (DataType.TEXT, None, "NOT_AN_OBJECT"),
    (DataType.TEXT, "a string", "NOT_AN_OBJECT"),
    (DataType.TEXT, [1], "NOT_AN_OBJECT"),
    (DataType.TEXT, {}, "MISSING_FIELD"),
    (DataType.TEXT, {"text": "a", "label": 1}, "UNKNOWN_FIELD"),
    (DataType.TEXT, {"text": 7}, "NOT_A_STRING"),
    (DataType.TEXT, {"text": True}, "NOT_A_STRING"),
    (DataType.TEXT, {"text": None}, "NOT_A_STRING"),
    (DataType.TEXT, {"text": " \n\t\u3000"}, "BLANK_TEXT"),
    (DataType.TEXT, {"text": "a\0b"}, "NUL_CHARACTER"),
    (DataType.TEXT, {"text": "a\ud800b"}, "LONE_SURROGATE"),
    (DataType.CODE, {"code": "x", "language": ["python"]}, "NOT_A_STRING"),
    (DataType.QA, {"question": "Why?"}, "MISSING_FIELD"),
    (DataType.QA, {"question": "Why?", "answer": ""}, "BLANK_TEXT"),
    (DataType.COMPLETION, {"prompt": "a", "completion": {"text": "b"}}, "NOT_A_STRING"),
    (DataType.CHAT, {"messages": "hello"}, "NOT_A_LIST"),
    (DataType.CHAT, {"messages": []}, "NO_MESSAGES"),
    (DataType.CHAT, {"messages": ["hello"]}, "NOT_AN_OBJECT"),
    (DataType.CHAT, {"messages": [{"role": "user"}]}, "MISSING_FIELD"),
    (DataType.CHAT, {"messages": [{"role": "user", "content": "a", "name": "b"}]}, "UNKNOWN_FIELD"),
    (DataType.CHAT, {"messages": [{"role": "robot", "content": "a"}]}, "UNKNOWN_ROLE"),
    (DataType.CHAT, {"messages": [{"role": ["user"], "content": "a"}]}, "UNKNOWN_ROLE"),
    (
        DataType.CHAT,
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "NOT_A_STRING",
    ),
    (DataType.CHAT, answered(weight=2), "WEIGHT_INVALID"),
    (DataType.CHAT, answered(weight=True), "WEIGHT_INVALID"),
    (DataType.CHAT, answered(content=None), "NOT_A_STRING"),
    (DataType.CHAT, answered(tool_calls=[]), "NOT_A_LIST"),
    (DataType.CHAT, answered(tool_calls=[{"type": "function"}]), "MISSING_FIELD"),
    (DataType.CHAT, answered(tool_calls=[CALL | {"type": "web"}]), "TOOL_CALL_INVALID"),
    (DataType.CHAT, answered(tool_calls=[called("{")]), "TOOL_CALL_INVALID"),
    (DataType.CHAT, answered(tool_calls=[called([1])]), "NOT_AN_OBJECT"),
    (DataType.CHAT, answered(tool_calls=[called({"a": float("nan")})]), "NOT_JSON"),
    (DataType.CHAT, answered(tool_calls=[called({"a": 2**63})]), "NUMBER_TOO_LARGE"),
    (DataType.CHAT, answered(tool_calls=[called({"a": ["\0"]})]), "NUL_CHARACTER"),
    (DataType.CHAT, answered(tool_calls=[called({"\ud800": 1})]), "LONE_SURROGATE"),
    (DataType.CHAT, chat("user", "assistant") | {"tools": {}, "a": 1}, "UNKNOWN_FIELD"),
    (DataType.CHAT, chat("user", "assistant") | {"tools": "look"}, "NOT_A_LIST"),
    (DataType.CHAT, chat("user", "tool", "assistant"), "ROLES_NOT_ALTERNATING"),
    (DataType.CHAT, chat("user", "assistant", "tool", "assistant"), "ROLES_NOT_ALTERNATING"),
    (
        DataType.CHAT,
        {"messages": [{"role": "user", "content": "a", "weight": 0}, *answered()["messages"]]},
        "UNKNOWN_FIELD",
    ),
    (DataType.CHAT, chat("user", "system", "assistant"), "SYSTEM_NOT_FIRST"),
    (DataType.CHAT, chat("system", "user"), "NO_ASSISTANT_TURN"),
    (DataType.CHAT, chat("assistant", "user", "assistant"), "ROLES_NOT_ALTERNATING"),
    (DataType.CHAT, chat("user", "user", "assistant"), "ROLES_NOT_ALTERNATING"),
    (DataType.CHAT, chat("user", "assistant", "user"), "LAST_NOT_ASSISTANT"),
]


@pytest.mark.parametrize(("data_type", "record"), GOOD)
def test_a_good_record_is_its_own_canonical_form(
    data_type: DataType, record: dict[str, object]
) -> None:
    assert parse(data_type, record) == record


@pytest.mark.parametrize(("data_type", "raw", "code"), BAD)
def test_a_bad_record_is_refused_by_code(data_type: DataType, raw: object, code: str) -> None:
    with pytest.raises(RecordError) as refused:
        parse(data_type, raw)
    assert refused.value.code == code


def test_a_conversation_has_one_canonical_form() -> None:
    given = answered(
        weight=1.0, content="", tool_calls=[called('{"at": 1.5}'), called("") | {"id": None}]
    )
    canonical = answered(
        tool_calls=[{"type": "function", **called({"at": 1.5})}, {"type": "function", **called({})}]
    )
    assert isinstance(canonical["messages"][1], dict)
    del canonical["messages"][1]["content"]
    assert parse(DataType.CHAT, given | {"tools": []}) == canonical
    assert parse(DataType.CHAT, canonical | {"tools": None}) == canonical
    escaped = answered(tool_calls=[called({"path": "\\u0000"})])
    assert parse(DataType.CHAT, escaped)["messages"]


def test_an_optional_field_that_is_null_is_left_out() -> None:
    raw = {"question": "Why?", "answer": "Because.", "system": None}
    assert parse(DataType.QA, raw) == {"question": "Why?", "answer": "Because."}


def test_the_message_names_the_unknown_field_and_the_known_ones() -> None:
    with pytest.raises(RecordError, match=r"The field 'label' is not known; this type has text\."):
        parse(DataType.TEXT, {"text": "a", "label": 1})


def test_rejected_rows_keep_their_line_and_an_excerpt() -> None:
    validated = validate(
        DataType.TEXT, [(1, {"text": "good"}), (2, {"text": ""}), (4, {"text": "x" * 500, "a": 1})]
    )
    assert validated.records == [(1, {"text": "good"})]
    assert [(each.line, each.code) for each in validated.rejected] == [
        (2, "BLANK_TEXT"),
        (4, "UNKNOWN_FIELD"),
    ]
    assert validated.rejected[0].excerpt == '{"text": ""}'
    assert len(validated.rejected[1].excerpt) == 160


def test_the_excerpt_of_a_hostile_record_can_be_stored() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    hostile = [(1, nested), (2, {"text": "\ud800\0"}), (3, {"\ud800\0": 1, "text": "a"})]
    rejected = validate(DataType.TEXT, hostile).rejected
    assert [each.line for each in rejected] == [1, 2, 3]
    for each in rejected:
        assert "\0" not in each.excerpt + each.message
        assert (each.excerpt + each.message).encode()


def test_equal_content_gives_equal_bytes() -> None:
    first = canonical_line({"question": "é", "answer": "b\nc"})
    assert first == canonical_line({"answer": "b\nc", "question": "é"})
    assert first == '{"answer": "b\\nc", "question": "é"}\n'.encode()
    assert first.count(b"\n") == 1
    assert json.loads(first) == {"question": "é", "answer": "b\nc"}


def test_statistics_count_characters_duplicates_and_lengths() -> None:
    records: list[dict[str, object]] = [{"text": "a" * n} for n in (1, 2, 3, 4, 4)]
    found = statistics(DataType.TEXT, records)
    assert (found.records, found.characters, found.duplicates, found.turns) == (5, 14, 1, None)
    assert found.length_percentiles == ((5, 1), (25, 2), (50, 3), (75, 4), (95, 4), (100, 4))


def test_statistics_of_conversations_count_turns() -> None:
    found = statistics(DataType.CHAT, [parse(*GOOD[6])])
    assert (found.turns, found.characters) == (5, 9 + 2 + 5 + 3 + 7)


def test_statistics_count_what_is_trained_and_what_tools_hold() -> None:
    call = '{"function": {"arguments": {"at": 1}, "name": "look"}, "type": "function"}'
    record = parse(
        DataType.CHAT,
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Well", "weight": 0},
                {"role": "user", "content": "So?"},
                {"role": "assistant", "tool_calls": [called({"at": 1})]},
            ],
            "tools": [{"a": 1}],
        },
    )
    found = statistics(DataType.CHAT, [record])
    assert found.trained_characters == len(call)
    assert found.characters == 2 + 4 + 3 + len(call) + len('{"a": 1}')


def test_statistics_of_nothing_are_zero() -> None:
    found = statistics(DataType.TEXT, [])
    assert (found.records, found.characters, found.length_percentiles) == (0, 0, ())
