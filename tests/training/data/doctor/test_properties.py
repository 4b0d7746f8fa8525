"""Whatever a record says, the doctor says what it is and goes on."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.files import statistics
from training.config import DataType
from training.data.doctor.application import apply
from training.data.doctor.characters import character_marks
from training.data.doctor.checks import BITS, Code, Strategy
from training.data.doctor.examination import examine
from training.data.doctor.leaks import find_leaks
from training.data.doctor.personal import personal_marks
from training.data.doctor.report import Report
from training.data.records import Record, parse

HOSTILE = st.sampled_from(
    "\x01\x07\x1b\x7f\x85\xa0\u0301\u0345\u200b\u200d\u202e\u2028\ufeff\ufffd\uffff\U000e0041\U0010ffff"
    "ÃÂâ€ðŸÐÑßẞİıǅﬁ 0123456789+-.@<>|[]/sk-AKIA你😀\r\n\t"
)
TEXT = st.one_of(st.text(HOSTILE), st.text(st.characters(exclude_categories=("Cs",))), st.emails())
WRITTEN = TEXT.filter(lambda text: bool(text.strip()) and "\0" not in text)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | WRITTEN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WRITTEN, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(
    st.builds(
        lambda name, arguments, more: {"function": {"name": name, "arguments": arguments}} | more,
        WRITTEN,
        st.dictionaries(WRITTEN, VALUES, max_size=3),
        st.dictionaries(st.just("id"), WRITTEN),
    ),
    min_size=1,
    max_size=3,
)
RESULTS = st.lists(
    st.builds(
        lambda content, more: {"role": "tool", "content": content} | more,
        WRITTEN,
        st.dictionaries(st.sampled_from(["tool_call_id", "name"]), WRITTEN),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def conversations(draw: st.DrawFn) -> Record:
    messages: list[object] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(WRITTEN)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(WRITTEN)})
        if draw(st.booleans()):
            messages += [{"role": "assistant", "tool_calls": draw(CALLS)}, *draw(RESULTS)]
        weight = draw(st.sampled_from([{}, {"weight": 0}]))
        messages.append({"role": "assistant", "content": draw(WRITTEN)} | weight)
    tools = draw(st.lists(st.dictionaries(WRITTEN, VALUES, max_size=3), max_size=2))
    return parse(DataType.CHAT, {"messages": messages, "tools": tools})


PAIRS = st.fixed_dictionaries(
    {"question": WRITTEN, "answer": WRITTEN}, optional={"system": WRITTEN}
)


@settings(max_examples=30, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just(DataType.CHAT), st.lists(conversations(), max_size=5)),
        st.tuples(st.just(DataType.QA), st.lists(PAIRS, max_size=8)),
        st.tuples(
            st.just(DataType.CODE),
            st.lists(st.fixed_dictionaries({"code": WRITTEN}, optional={"language": WRITTEN})),
        ),
    )
)
def test_any_dataset_has_a_true_report(dataset: tuple[DataType, list[Record]]) -> None:
    data_type, records = dataset
    lines = range(3, 3 + 2 * len(records), 2)
    examination = examine(data_type, zip(lines, records, strict=True))
    report = examination.report
    assert report.statistics == statistics(data_type, records)
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert sum(each.count for each in report.patterns) == len(records)
    for each in report.findings:
        assert each.count == len(each.lines) > 0
        assert set(each.lines) <= set(lines)
    repeated = {line for place, line in enumerate(lines) if records[place] in records[:place]}
    applied = apply(examination.marks, {Code.DUPLICATE: Strategy.DROP})
    assert set(applied.kept.tolist()) == set(lines) - repeated
    both = examination.fingerprints
    assert find_leaks(both, both).leaks.equal == len(records)


@given(WRITTEN)
def test_a_text_is_marked_for_what_it_has(text: str) -> None:
    marks = character_marks(text) | personal_marks(text)
    assert bool(marks & BITS[Code.REPLACEMENT_CHARACTERS]) == ("\ufffd" in text)
    assert not (marks & BITS[Code.EMAIL_ADDRESS] and "@" not in text)


@given(st.emails(domains=st.just("example.org")).filter(lambda each: '"' not in each))
def test_a_plain_address_is_found(address: str) -> None:
    plain = all(each.isalnum() or each in "_.+%-@" for each in address)
    found = bool(personal_marks(f"to {address}, please") & BITS[Code.EMAIL_ADDRESS])
    assert found or not plain
