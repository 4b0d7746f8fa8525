"""Files made to break a reader: a typed problem on its line, the rest kept, memory bounded."""

import io
import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.training.data.files import PACKERS, jsonl, parquet, problems, read, told, values
from training.data.containers.limits import Limits
from training.data.containers.reading import open_contents
from training.data.containers.rows import RawRow
from training.data.records import Rejected
from training.data.strict_json import MAX_DEPTH, loads
from training.errors import RecordError, SourceUnreadable

MEGABYTE = 1024 * 1024
FIRST, LAST = b'{"text": "first"}', b'{"text": "last"}'

HOSTILE = {
    "deep": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "TOO_DEEP"),
    "deep, as objects": (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "TOO_DEEP"),
    "a huge whole number": (b'{"text": ' + b"9" * 100_000 + b"}", "NUMBER_TOO_LARGE"),
    "just too large": (b'{"text": 9223372036854775808}', "NUMBER_TOO_LARGE"),
    "a huge real number": (b'{"text": 1e400}', "NUMBER_TOO_LARGE"),
    "not a number": (b'{"text": NaN}', "MALFORMED_JSON"),
    "infinity": (b'{"text": -Infinity}', "MALFORMED_JSON"),
    "a bare NUL": (b'{"text": "a\0b"}', "MALFORMED_JSON"),
    "not UTF-8": (b'{"text": "\xff\xfe"}', "NOT_UTF8"),
    "UTF-8 of a surrogate": (b'{"text": "\xed\xa0\x80"}', "NOT_UTF8"),
    "a key twice": (b'{"text": "a", "text": "b"}', "DUPLICATE_KEY"),
    "10 MB": (b'{"text": "' + b"x" * (10 * MEGABYTE) + b'"}', "ROW_TOO_LARGE"),
    "10 MB of escapes": (b'{"text": "' + b'\\"' * (5 * MEGABYTE) + b'"}', "ROW_TOO_LARGE"),
    "half a string of escapes": (b'{"text": "' + b'\\"' * 500_000, "MALFORMED_JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_is_named_and_the_others_are_kept(name: str) -> None:
    line, code = HOSTILE[name]
    _, rows = read(b"\n".join([FIRST, line, LAST]))
    assert values(rows) == [(1, {"text": "first"}), (3, {"text": "last"})]
    assert problems(rows) == [(2, code)]
    assert len(str(rows[1])) < 500


@pytest.mark.parametrize("name", [name for name in HOSTILE if "half" not in name])
def test_a_hostile_element_is_named_and_the_others_are_kept(name: str) -> None:
    line, code = HOSTILE[name]
    _, rows = read(b"[" + b",\n".join([FIRST, line, LAST]) + b"]")
    assert values(rows) == [(1, {"text": "first"}), (3, {"text": "last"})]
    assert problems(rows) == [(2, code)]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"x" * (10 * MEGABYTE), "ROW_TOO_LARGE"),
        (b'"' + b"x" * (10 * MEGABYTE) + b'"', "ROW_TOO_LARGE"),
        (b'"\xff"', "NOT_UTF8"),
        (b'"a"b', "MALFORMED_CSV"),
        (b"a,b", "FIELD_COUNT"),
        (b'"never closed', "MALFORMED_CSV"),
    ],
)
def test_a_hostile_row_of_csv_is_named_and_the_others_are_kept(line: bytes, code: str) -> None:
    _, rows = read(b"text\nfirst\n" + line + b"\nlast\n")
    assert values(rows) == [(2, {"text": "first"}), (4, {"text": "last"})]
    assert problems(rows) == [(3, code)]


def test_a_quote_left_open_before_a_long_file_costs_one_row() -> None:
    _, rows = read(b'text\n"open\n' + b"good\n" * 5_000, Limits(row_bytes=10_000))
    assert problems(rows) == [(2, "ROW_TOO_LARGE")]
    assert values(rows) == [(line, {"text": "good"}) for line in range(3, 5_003)]


def test_nul_bytes_in_csv_reach_the_row_and_are_refused_as_content() -> None:
    assert told(read(b"text\na\0b\n")[1]) == [(2, {"text": "a\0b"})]


def test_what_is_just_within_the_limits_is_read() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(loads(deep)) == deep
    assert loads("[-9223372036854775808, 9223372036854775807]") == [-(2**63), 2**63 - 1]
    brackets = json.dumps({"text": "[{" * 1000 + '\\"' * 10})
    assert loads(brackets) == {"text": "[{" * 1000 + '\\"' * 10}
    limits = Limits(row_bytes=len(FIRST))
    assert values(read(FIRST + b"\r\n" + FIRST, limits)[1]) == [
        (1, {"text": "first"}),
        (2, {"text": "first"}),
    ]


def _peak_bytes(content: bytes, limits: Limits) -> tuple[int, int, int]:
    """The most held while reading, rows and problems; rows are let go as they come."""
    file = io.BytesIO(content)
    good = bad = 0
    tracemalloc.start()
    try:
        for row in open_contents(file, limits).rows:
            good, bad = (good, bad + 1) if problems([row]) else (good + 1, bad)
        return tracemalloc.get_traced_memory()[1], good, bad
    finally:
        tracemalloc.stop()


SMALL = Limits(row_bytes=64 * 1024, expansion=100, expansion_from_bytes=MEGABYTE // 4)


@pytest.mark.parametrize(
    ("content", "good", "bad"),
    [
        (jsonl({"text": "x" * 1000}) * 20_000, 20_000, 0),
        (b"[" + (jsonl({"text": "x" * 1000}) + b",") * 20_000 + b"]", 20_000, 0),
        (b"text\n" + (b"x" * 1000 + b"\n") * 20_000, 20_000, 0),
        (FIRST + b"\n" + b"x" * (20 * MEGABYTE) + b"\n" + LAST, 2, 1),
        (b"[" + FIRST + b',"' + b"x" * (20 * MEGABYTE) + b'",' + LAST + b"]", 2, 1),
        (b"[" + FIRST + b"," + b"[" * 100_000, 1, 2),
        (b'text\n"' + b"x\n" * 50_000, 49_999, 1),
        (PACKERS["gzip"](FIRST + b"\n" + bytes(64 * MEGABYTE)), 1, 1),
        (PACKERS["zstd"](FIRST + b"\n" + bytes(64 * MEGABYTE)), 1, 1),
        (PACKERS["gzip"](FIRST + b"\n" + b"\n" * 600_000), 1, 1),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_memory_is_bounded_whatever_the_size(content: bytes, good: int, bad: int) -> None:
    peak, *counts = _peak_bytes(content, SMALL)
    assert counts == [good, bad]
    assert peak < 6 * MEGABYTE


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@given(st.lists(st.tuples(_json, st.booleans()), max_size=6), st.sampled_from([b"\n", b"\r\n"]))
def test_each_line_of_any_jsonl_is_a_row_or_a_problem_of_its_own(
    lines: list[tuple[object, bool]], end: bytes
) -> None:
    written = [
        json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        for value, escaped in lines
    ]
    content = jsonl({"first": 1}) + b"".join(line + end for line in written)
    _, rows = read(content)
    assert [row.line for row in rows] == list(range(1, len(lines) + 2))
    for row, line in zip(rows[1:], written, strict=True):
        if not problems([row]):
            assert json.dumps(values([row])[0][1]) == json.dumps(json.loads(line))


def read_or_refused(content: bytes) -> tuple[list[RawRow | Rejected], list[tuple[int, str]]]:
    """What is read, or on line 1 why nothing is."""
    try:
        return read(content)[1], []
    except SourceUnreadable as error:
        return [], [(1, error.code)]


@given(st.binary(max_size=300), st.sampled_from([bytes, *PACKERS.values()]))
@example(b'{"a": "\\', bytes)
@example(b"[[[", bytes)
@example(b'["', bytes)
@example(b'{"a"', bytes)
@example(b"{]", bytes)
@example(b"[}", bytes)
@example(b"PAR1", bytes)
def test_any_bytes_end_in_rows_or_typed_problems(
    content: bytes, pack: Callable[[bytes], bytes]
) -> None:
    for start in (b"", b"[", b'{"data": [', b'{"a": 1}\n', b'a,b\n"', b"PAR1"):
        rows, _ = read_or_refused(pack(start + content))
        lines = [row.line for row in rows]
        assert lines == sorted(lines)


@given(st.data())
def test_any_cut_of_a_compressed_file_keeps_a_beginning(data: st.DataObject) -> None:
    rows = [{"text": data.draw(st.text(max_size=20))} for _ in range(20)]
    packed = PACKERS[data.draw(st.sampled_from(sorted(PACKERS)))](jsonl(*rows))
    cut = data.draw(st.integers(4, len(packed) - 1))
    found, refused = read_or_refused(packed[:cut])
    kept = values(found)
    assert kept == list(enumerate(rows, 1))[: len(kept)]
    assert [*problems(found), *refused] == [(len(kept) + 1, "ENDS_EARLY")]


@settings(derandomize=True)  # what pyarrow's own code makes of damage may end the process
@given(st.lists(st.tuples(st.integers(4, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_damage_to_parquet_ends_in_rows_or_typed_problems(
    damage: list[tuple[int, int]],
) -> None:
    content = bytearray(parquet([{"t": str(n), "m": [{"r": "x"}]} for n in range(90)], group=30))
    for place, value in damage:
        content[4 + place % (len(content) - 4)] = value
    rows, refused = read_or_refused(bytes(content))
    assert [code for _, code in refused] in ([], ["PARQUET_DAMAGED"], ["DUPLICATE_COLUMN"])
    assert [row.line for row in rows] == sorted(row.line for row in rows)
    assert {code for _, code in problems(rows)} <= {
        "PARQUET_DAMAGED",
        "ROW_UNREADABLE",
        "ROW_TOO_LARGE",
        "EXPANDS_TOO_MUCH",
    }


@given(st.text(alphabet='[]{}"\\,: 1e', max_size=60))
def test_the_strict_reader_agrees_with_the_standard_one_or_refuses(text: str) -> None:
    try:
        value = loads(text)
    except RecordError:
        return
    assert json.dumps(value) == json.dumps(json.loads(text))
