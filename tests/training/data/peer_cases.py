"""The shape of a case of a file as others document it, and parts that many cases have."""

import io
from typing import NamedTuple

from training.config import DataType
from training.data.containers.reading import open_contents
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.formats.shapes import Format
from training.data.records import Record


class Case(NamedTuple):
    content: bytes
    format: Format
    data_type: DataType
    record: Record
    left_out: dict[str, int] | None = None


SYSTEM = {"role": "system", "content": "You fix bicycles."}
ASKED = {"role": "user", "content": "Why does it squeak?"}
TOLD = {"role": "assistant", "content": "The chain is dry."}
TOOL = {
    "type": "function",
    "function": {
        "name": "stock",
        "description": "How many are left.",
        "parameters": {"type": "object", "properties": {"part": {"type": "string"}}},
    },
}
CALL = {"function": {"name": "stock", "arguments": {"part": "chain"}}, "type": "function"}
QA: Record = {"question": "Why does it squeak?", "answer": "The chain is dry."}
CHAT: Record = {"messages": [SYSTEM, ASKED, TOLD]}
SHAREGPT_CALL = [
    {"from": "human", "value": "Is a chain left?"},
    {"from": "function_call", "value": '{"name": "stock", "arguments": {"part": "chain"}}'},
    {"from": "observation", "value": "4"},
    {"from": "gpt", "value": "Four."},
]
CALLED: list[Record] = [
    {"role": "user", "content": "Is a chain left?"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "content": "4"},
    {"role": "assistant", "content": "Four."},
]


def check(case: Case) -> None:
    """The file is detected and read untouched, and what is left out of it is counted."""
    mapping = detect(open_contents(io.BytesIO(case.content)).rows)
    assert (mapping.format, mapping.data_type) == (case.format, case.data_type)
    converter = Converter(mapping)
    rows = list(converter.records(open_contents(io.BytesIO(case.content)).rows))
    assert [row[1] for row in rows] == [case.record]
    assert dict(converter.left_out) == (case.left_out or {})
