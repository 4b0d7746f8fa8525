"""A dataset that is exported as canonical JSONL and taken in again is the same, byte for byte."""

import io
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.files import PACKERS
from training.config import DataType
from training.data.containers.reading import open_contents
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.records import Record, canonical_line, parse

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
text = (_text | st.sampled_from(["e\u0301", "\u2028", "\x85", "\ufeff", "\r", '"\\', "é"])).filter(
    str.strip
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | text
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
tool = st.dictionaries(text, plain, max_size=3)
call = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": text, "arguments": tool})}, optional={"id": text}
)


@st.composite
def chats(draw: st.DrawFn) -> Record:
    messages: list[object] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(text)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(text)})
        if draw(st.booleans()):
            messages.append({"role": "assistant", "tool_calls": [draw(call)]})
            messages.append({"role": "tool", "content": draw(text), "tool_call_id": draw(text)})
        weight = draw(st.sampled_from([{}, {"weight": 0}, {"weight": 1}]))
        messages.append({"role": "assistant", "content": draw(text)} | weight)
    tools = draw(st.lists(tool, max_size=2))
    return {"messages": messages, "tools": tools}


RECORDS: dict[DataType, st.SearchStrategy[Record]] = {
    DataType.TEXT: st.fixed_dictionaries({"text": text}),
    DataType.CODE: st.fixed_dictionaries({"code": text}, optional={"language": text}),
    DataType.QA: st.fixed_dictionaries(
        {"question": text, "answer": text}, optional={"system": text}
    ),
    DataType.COMPLETION: st.fixed_dictionaries({"prompt": text, "completion": text}),
    DataType.CHAT: chats(),
}


def taken_in(content: bytes) -> tuple[DataType, bytes]:
    """The type and the canonical lines of a file."""
    mapping = detect(open_contents(io.BytesIO(content)).rows)
    rows = list(Converter(mapping).records(open_contents(io.BytesIO(content)).rows))
    return mapping.data_type, b"".join(canonical_line(row[1]) for row in rows)


@pytest.mark.parametrize("data_type", DataType)
@given(data=st.data(), pack=st.sampled_from([bytes, *PACKERS.values()]))
def test_export_and_import_give_the_same_bytes(
    data_type: DataType, data: st.DataObject, pack: Callable[[bytes], bytes]
) -> None:
    raw = data.draw(st.lists(RECORDS[data_type], min_size=1, max_size=4))
    exported = b"".join(canonical_line(parse(data_type, each)) for each in raw)
    assert taken_in(pack(exported)) == (data_type, exported)


def test_text_is_not_normalised() -> None:
    composed, apart = "é", unicodedata.normalize("NFD", "é")
    exported = b"".join(canonical_line({"text": each}) for each in (composed, apart))
    assert exported == '{"text": "é"}\n{"text": "e\u0301"}\n'.encode()
    assert taken_in(exported) == (DataType.TEXT, exported)
