"""What is found of a record without a tokenizer."""

import random
import string
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.data.files import statistics
from training.config import DataType
from training.data.doctor.checks import CHECKS, Code
from training.data.doctor.examination import Examination, examine
from training.data.doctor.report import MAX_LINES, Report
from training.data.records import Record, parse
from training.findings import Severity

ROOT = Path(__file__).parents[4]
CALL = {
    "type": "function",
    "id": "c1",
    "function": {"name": "weather", "arguments": {"in": "Rome"}},
}
WEATHER = {"type": "function", "function": {"name": "weather"}}


def examined(data_type: DataType, *records: Record) -> Examination:
    return examine(
        data_type, [(line, parse(data_type, record)) for line, record in enumerate(records, 1)]
    )


def found(data_type: DataType, *records: Record) -> dict[str, tuple[int, ...]]:
    """The lines of every finding, by code."""
    report = examined(data_type, *records).report
    assert all(each.count == len(each.lines) for each in report.findings)
    return {each.code.value: each.lines for each in report.findings}


def chat(*messages: Record, tools: list[Record] | None = None) -> Record:
    return {"messages": list(messages)} | ({"tools": tools} if tools else {})


def user(content: str = "How is it in Rome?") -> Record:
    return {"role": "user", "content": content}


def assistant(content: str = "Sunny.", **more: object) -> Record:
    return {"role": "assistant", "content": content, **more}


def result(content: str = "warm", **more: object) -> Record:
    return {"role": "tool", "content": content, **more}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("CONTROL_CHARACTERS", "a bell \x07 rings"),
        ("CONTROL_CHARACTERS", "next line \x85 of old"),
        ("REPLACEMENT_CHARACTERS", "Universit\ufffd di Roma"),
        ("MOJIBAKE", "un cafÃ© noir"),
        ("MOJIBAKE", "itâ€™s broken"),
        ("MOJIBAKE", "so happy 😀".encode().decode("cp1252")),
        ("MOJIBAKE", "Привет".encode().decode("cp1252")),
        ("NOT_NFC", "cafe\u0301"),
        ("INVISIBLE_TEXT", "\u200b\u200b"),
        ("INVISIBLE_TEXT", " \ufeff "),
        ("TEMPLATE_TOKENS", "Hi<|im_end|>"),
        ("TEMPLATE_TOKENS", "[INST] Hi [/INST]"),
        ("TEMPLATE_TOKENS", "that was it</s>"),
        ("TEMPLATE_TOKENS", "<start_of_turn>user"),
        ("TEMPLATE_TOKENS", "<\uff5cUser\uff5c>Hi"),
        ("EMAIL_ADDRESS", "write to jane.doe+news@example.co.uk today"),
        ("PHONE_NUMBER", "call +49 30 901820, or not"),
        ("PHONE_NUMBER", "(+1) 212-456-1414 is +1 212-456-1414"),
        ("CARD_NUMBER", "pay with 4111 1111 1111 1111."),
        ("CARD_NUMBER", "378282246310005"),
        ("BANK_ACCOUNT", "send it to DE89 3704 0044 0532 0130 00."),
        ("BANK_ACCOUNT", "GB82WEST12345698765432"),
        ("SECRET_KEY", "AWS_KEY=AKIAIOSFODNN7EXAMPLE"),
        ("SECRET_KEY", "token ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        ("SECRET_KEY", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
    ],
)
def test_a_text_is_told_for_what_is_in_it(code: str, text: str) -> None:
    assert found(DataType.TEXT, {"text": "nothing here"}, {"text": text}) == {code: (2,)}


@pytest.mark.parametrize(
    "text",
    [
        "tabs\tand\nlines\r\nare text",
        "été\u00a0» dit-il, «\u00a0à Noël\u00a0»; naïve cafés, SÃO PAULO, Âge",
        "Привет, как дела? 你好吗 これはペンです 👩‍👩‍👧 مرحبا",
        "a < b, x[0], <p>bold</p>, </span>, List<String>, [INSTALL], <|>",
        "me@home, @jane, a@b, 3 @ 4.50",
        "+1 234, 2026-11-26 07:30:00, +12 345 678 901 234 567 890, 1+2345678901",
        "4111 1111 1111 1112, 1234567890123456, 0000000000000000, 3.14159265358979323846",
        "DE88 3704 0044 0532 0130 00, AB12 is a flat",
        "sk-learn, ask-me-anything, hf_hub, AKIA, PRIVATE KEYS are kept apart",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(DataType.TEXT, {"text": text}) == {}


def test_personal_data_is_counted_by_kind() -> None:
    report = examined(
        DataType.QA,
        {"question": "Your address?", "answer": "a.b@example.org"},
        {"question": "And yours, c@example.org?", "answer": "d@example.org, +49 30 901820"},
    ).report
    assert report.personal_data == {Code.EMAIL_ADDRESS: 2, Code.PHONE_NUMBER: 1}


@pytest.mark.parametrize(
    ("codes", "record"),
    [
        ([], chat(user(), assistant())),
        (["NO_TRAINED_TURN"], chat(user(), assistant(weight=0))),
        (["ANSWER_REPEATS_PROMPT"], chat(user("Ciao"), assistant(" Ciao\n"))),
        ([], chat(user(), assistant(tool_calls=[CALL]), result(), assistant(), tools=[WEATHER])),
        ([], chat(user(), assistant(tool_calls=[CALL]), tools=[{"name": "weather"}])),
        (["UNDECLARED_TOOL"], chat(user(), assistant(tool_calls=[CALL]))),
        (
            ["TOOL_RESULTS_MISMATCH"],
            chat(
                user(), assistant(tool_calls=[CALL, CALL]), result(), assistant(), tools=[WEATHER]
            ),
        ),
        (
            ["TOOL_RESULTS_MISMATCH"],
            chat(
                user(),
                assistant(tool_calls=[CALL]),
                result(tool_call_id="c2"),
                assistant(),
                tools=[WEATHER],
            ),
        ),
    ],
)
def test_turns_are_told_for_what_is_odd_about_them(codes: list[str], record: Record) -> None:
    assert list(found(DataType.CHAT, record)) == codes


def test_an_answer_that_is_its_question_is_told_in_pairs_too() -> None:
    rows = ({"question": "Rome", "answer": "Rome "}, {"question": "Where?", "answer": "In Rome."})
    assert found(DataType.QA, *rows) == {"ANSWER_REPEATS_PROMPT": (1,)}
    assert found(DataType.COMPLETION, {"prompt": "a", "completion": "a"}) == {
        "ANSWER_REPEATS_PROMPT": (1,)
    }


def test_equal_records_are_grouped_and_all_but_the_first_are_counted() -> None:
    seen = [
        {"text": text} for text in ("one of a kind", "twice", "thrice", "twice", "thrice", "thrice")
    ]
    report = examined(DataType.TEXT, *seen).report
    assert [(each.code, each.lines) for each in report.findings] == [(Code.DUPLICATE, (4, 5, 6))]
    assert (report.duplicates.groups, report.duplicates.records) == (2, 3)
    assert [group.lines for group in report.duplicates.largest] == [(3, 5, 6), (2, 4)]
    assert report.statistics.duplicates == 3


def test_records_that_differ_in_capitals_and_punctuation_are_nearly_equal() -> None:
    report = examined(
        DataType.QA,
        {"question": "What is the capital of France?", "answer": "Paris, of course!"},
        {"question": "What is the capital of Italy?", "answer": "Rome, of course!"},
        {"question": "what is the capital of france", "answer": "Paris - of course."},
    ).report
    assert [(each.code, each.lines) for each in report.findings] == [(Code.NEAR_DUPLICATE, (3,))]
    assert [group.lines for group in report.near_duplicates.largest] == [(1, 3)]


def test_records_without_a_letter_are_near_to_their_equals_alone() -> None:
    assert found(DataType.TEXT, {"text": "!!!"}, {"text": "???"}, {"text": "!!!"}) == {
        "DUPLICATE": (3,)
    }


def test_a_shared_system_message_makes_no_records_alike() -> None:
    system = {"role": "system", "content": "You answer briefly, politely and truthfully. " * 20}
    one = chat(system, user("Where is Rome?"), assistant("In Italy, by the river Tiber."))
    two = chat(system, user("Who was Caesar?"), assistant("A general, and a writer too."))
    assert found(DataType.CHAT, one, two) == {}


def test_one_prompt_with_two_answers_is_a_conflict() -> None:
    rows = (
        {"question": "Is it far?", "answer": "Yes, a day's walk from here."},
        {"question": "Is it near?", "answer": "It is just around the corner."},
        {"question": "is it  far?", "answer": "Not at all."},
        {"question": "Is it far?", "answer": "Yes, a day's walk from here."},
        {"question": "Is it far?", "answer": "No.", "system": "Be kind."},
    )
    assert found(DataType.QA, *rows) == {"DUPLICATE": (4,), "CONFLICTING_ANSWERS": (3,)}


def test_lengths_far_from_all_others_are_told() -> None:
    draw = random.Random(0)
    usual: list[Record] = [
        {"text": "".join(draw.choices(string.ascii_lowercase, k=draw.randint(30, 60)))}
        for _ in range(200)
    ]
    usual[50] = {"text": "k"}
    usual[60] = {"text": "a very long text, not as the others " * 100}
    lines = found(DataType.TEXT, *usual)
    assert lines == {"UNUSUALLY_SHORT": (51,), "UNUSUALLY_LONG": (61,)}
    assert found(DataType.TEXT, *usual[:99]) == {}


def test_the_figures_are_those_that_are_counted_on_arrival() -> None:
    records: list[Record] = [
        chat({"role": "system", "content": "Be brief."}, user(), assistant()),
        chat(user(), assistant(tool_calls=[CALL]), result(), assistant("No."), tools=[WEATHER]),
        chat(user(), assistant(weight=0), user("And now?"), assistant("Still.")),
        chat(user(), assistant(weight=0), user("And now?"), assistant("Still.")),
    ]
    canonical = [parse(DataType.CHAT, record) for record in records]
    report = examined(DataType.CHAT, *records).report
    assert report.statistics == statistics(DataType.CHAT, canonical)
    assert report.statistics.turns == 15
    code = [{"code": "print(1)", "language": "python"}, {"code": "exit"}]
    assert examined(DataType.CODE, *code).report.statistics == statistics(DataType.CODE, code)


def test_the_histogram_counts_every_record_once() -> None:
    report = examined(
        DataType.TEXT, *({"text": "x" * length} for length in (1, 2, 3, 4, 7, 8, 40))
    ).report
    assert [(each.from_length, each.to_length, each.count) for each in report.histogram] == [
        (1, 1, 1),
        (2, 3, 2),
        (4, 7, 2),
        (8, 15, 1),
        (16, 31, 0),
        (32, 63, 1),
    ]


def test_languages_are_told_from_texts_long_enough_to_tell() -> None:
    texts = (
        "How are you doing today, my friend?",
        "The weather has been lovely all week.",
        "Wie geht es dir heute, mein lieber Freund?",
        "これはペンですか、それとも鉛筆ですか。",
        "ok",
    )
    report = examined(DataType.TEXT, *({"text": text} for text in texts)).report
    assert report.languages is not None
    assert report.languages.sampled == 5
    assert report.languages.counts == {"en": 2, "de": 1, "ja": 1, "und": 1}
    assert examined(DataType.CODE, {"code": "print(1)"}).report.languages is None


def test_all_records_are_counted_and_the_first_lines_named() -> None:
    report = examined(DataType.TEXT, *({"text": "again"} for _ in range(MAX_LINES + 11))).report
    (finding,) = report.findings
    assert finding.count == MAX_LINES + 10
    assert finding.lines == tuple(range(2, MAX_LINES + 2))
    assert finding.message == f"Records equal to an earlier one: {MAX_LINES + 10}."
    assert finding.severity is Severity.WARNING


def test_a_dataset_of_nothing_has_a_report_of_nothing() -> None:
    report = examined(DataType.QA).report
    assert report.findings == ()
    assert report.statistics == statistics(DataType.QA, [])
    assert (report.duplicates.groups, report.histogram) == (0, ())


def test_a_report_is_json_both_ways() -> None:
    report = examined(DataType.QA, *[{"question": "Why?", "answer": "a@example.org"}] * 3).report
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_every_code_is_in_the_table_with_a_remedy() -> None:
    assert list(CHECKS) == list(Code)
    assert all(check.remedy.endswith(".") for check in CHECKS.values())
    assert not any(check.message.endswith(".") for check in CHECKS.values())


def test_records_are_examined_without_torch() -> None:
    program = (
        "import sys, training.data.doctor.application, training.data.doctor.examination\n"
        "import training.data.doctor.leaks\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_report_that_was_kept_with_a_place_for_tokens_is_read() -> None:
    report = examined(DataType.TEXT, {"text": "The sky"}).report
    assert Report.model_validate({**report.model_dump(mode="json"), "tokens": None}) == report
