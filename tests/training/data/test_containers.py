"""What a file is, by its content, and its rows with their lines."""

import io
import random
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.files import PACKERS, jsonl, parquet, problems, read, told, values
from training.data.containers import json_array
from training.data.containers.limits import Limits
from training.data.containers.reading import Container, open_contents
from training.data.formats.conversion import Converter
from training.data.formats.mapping import Mapping
from training.data.formats.shapes import Format, Part
from training.data.records import Rejected
from training.errors import SourceUnreadable

ROWS = [{"question": "Why, or why not?", "answer": "a\nb"}, {"question": "é", "answer": "日本"}]
NUMBERED = [(1, ROWS[0]), (2, ROWS[1])]
CSV = 'question,answer\r\n"Why, or why not?","a\nb"\r\né,日本\r\n'.encode()


@pytest.mark.parametrize("pack", [bytes, *PACKERS.values()])
@pytest.mark.parametrize(
    ("content", "container", "expected"),
    [
        (jsonl(*ROWS), Container.JSONL, NUMBERED),
        (b"[" + jsonl(*ROWS).strip().replace(b"\n", b",\n") + b"]", Container.JSON, NUMBERED),
        (CSV, Container.CSV, [(2, ROWS[0]), (4, ROWS[1])]),
    ],
)
def test_text_is_known_by_its_content_plain_or_compressed(
    content: bytes,
    container: Container,
    expected: list[object],
    pack: Callable[[bytes], bytes],
) -> None:
    for head in (b"", b"\xef\xbb\xbf"):
        found, rows = read(pack(head + content))
        assert (found, told(rows)) == (container, expected)


def test_parquet_is_read_by_row_groups_with_row_numbers() -> None:
    rows = [{"messages": [{"role": "user", "content": str(n)}], "n": n} for n in range(1000)]
    found, read_rows = read(parquet(rows, group=300))
    assert found is Container.PARQUET
    assert values(read_rows) == list(enumerate(rows, 1))


def test_lines_count_blank_ones_and_take_both_line_ends() -> None:
    _, rows = read(b'\r\n{"a": 1}\r\n\r\n \n{"a": 2}\n{"a": 3}')
    assert told(rows) == [(2, {"a": 1}), (5, {"a": 2}), (6, {"a": 3})]


@pytest.mark.parametrize(
    ("content", "container"),
    [
        (b'{"data": [{"a": 1},\n {"a": 2}], "version": "1"}', Container.JSON),
        (b'{\n  "version": 1,\n  "meta": {"x": [1]},\n  "data": [\n{"a": 1},\n', Container.JSON),
        (b'{"data": [{"a": 1}, {"a": 2}]}', Container.JSON),
        (b'{"messages": [{"a": 1}, {"a": 2}]}', Container.JSONL),
        (b'{"a": 1,\n{"a": 2}\n', Container.JSONL),
        (b'# a note\n{"a": 2}\n', Container.JSONL),
        (b"a,b\n1,2\n", Container.CSV),
    ],
)
def test_one_object_with_one_array_is_json_and_rows_are_jsonl(
    content: bytes, container: Container
) -> None:
    assert open_contents(io.BytesIO(content)).container is container


def test_the_rows_of_an_object_are_its_array_and_a_second_one_is_named() -> None:
    content = b'{"version": "1", "data": [{"a": 1},\n{"a": 2}],\n"x": {"y": [1]}, "test": [3]}'
    _, rows = read(content)
    assert values(rows) == [(1, {"a": 1}), (2, {"a": 2})]
    assert problems(rows) == [(3, "SECOND_ARRAY")]
    assert "those of test were not read" in str(rows[-1])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_csv_is_found(delimiter: str) -> None:
    content = f'question{delimiter}answer\n"a{delimiter}b"{delimiter}c\n'
    assert told(read(content.encode())[1]) == [(2, {"question": f"a{delimiter}b", "answer": "c"})]


def test_a_csv_of_one_column_may_quote_commas() -> None:
    assert told(read(b'text\n"One, two; three"\n\nfour\n')[1]) == [
        (2, {"text": "One, two; three"}),
        (4, {"text": "four"}),
    ]


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    _, rows = read(b'question,answer\na,b\n"c,d\ne,f\ng\n')
    assert values(rows) == [
        (2, {"question": "a", "answer": "b"}),
        (4, {"question": "e", "answer": "f"}),
    ]
    assert problems(rows) == [(3, "MALFORMED_CSV"), (5, "FIELD_COUNT")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EMPTY_FILE"),
        (b" \n \n", "EMPTY_FILE"),
        (b"PK\x03\x04...", "ARCHIVE_DAMAGED"),
        (PACKERS["gzip"](b"PK\x03\x04..."), "CONTAINER_UNKNOWN"),
        ("text".encode("utf-16"), "CONTAINER_UNKNOWN"),
        (b"\x00\x01\x02\xff", "CONTAINER_UNKNOWN"),
        (b"PAR1 and nothing else PAR1", "PARQUET_DAMAGED"),
        (PACKERS["gzip"](PACKERS["zstd"](b"{}")), "COMPRESSED_TWICE"),
        (PACKERS["gzip"](b"{}")[:5], "ENDS_EARLY"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(SourceUnreadable) as refused:
        read(content)
    assert refused.value.code == code
    assert refused.value.remedy


@pytest.mark.parametrize("name", PACKERS)
def test_what_came_before_a_truncation_is_kept(name: str) -> None:
    noise = random.Random(7)
    rows = [{"text": noise.randbytes(50).hex()} for _ in range(20_000)]
    packed = PACKERS[name](jsonl(*rows))
    _, read_rows = read(packed[: len(packed) // 2])
    kept = values(read_rows)
    assert len(kept) > 5_000
    assert kept == list(enumerate(rows[: len(kept)], 1))
    assert problems(read_rows) == [(len(kept) + 1, "ENDS_EARLY")]


def test_damage_within_a_compressed_stream_is_told_apart_from_its_end() -> None:
    noise = random.Random(7)
    rows = [{"text": noise.randbytes(50).hex()} for _ in range(20_000)]
    packed = bytearray(PACKERS["gzip"](jsonl(*rows)))
    packed[-8] ^= 1  # of the checksum
    _, read_rows = read(bytes(packed))
    assert len(values(read_rows)) == 20_000
    assert problems(read_rows) == [(20_001, "COMPRESSION_DAMAGED")]


def test_a_zstd_window_that_would_take_all_memory_is_refused() -> None:
    options = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(SourceUnreadable) as refused:
        read(packer.compress(jsonl(*ROWS)) + packer.flush())
    assert refused.value.code == "COMPRESSION_DAMAGED"


def test_a_stream_of_several_members_is_read_whole() -> None:
    for pack in PACKERS.values():
        assert values(read(pack(jsonl(ROWS[0])) + pack(jsonl(ROWS[1])))[1]) == NUMBERED


def test_a_damaged_row_group_is_named_and_the_others_are_kept() -> None:
    noise = random.Random(7)
    rows = [{"text": noise.randbytes(100).hex()} for _ in range(300)]
    content = bytearray(parquet(rows, group=100, compression="none"))
    start = content.index(str(rows[100]["text"]).encode())
    content[start - 30 : start - 10] = b"\xff" * 20  # in the header of its page
    _, read_rows = read(bytes(content))
    numbered = list(enumerate(rows, 1))
    assert values(read_rows) == numbered[:100] + numbered[200:]
    assert problems(read_rows) == [(101, "PARQUET_DAMAGED")]


def test_what_python_cannot_hold_of_parquet_is_text_or_costs_its_row() -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    text = pa.array([b"good", b"\xff", b"last"]).view(pa.string())
    when = pa.array([1, 10**18 + 1, None], pa.timestamp("ns"))
    file = io.BytesIO()
    pq.write_table(pa.table({"text": text, "when": when}), file)
    _, rows = read(file.getvalue())
    assert values(rows) == [
        (1, {"text": "good", "when": "1970-01-01 00:00:00.000000001"}),
        (3, {"text": "last", "when": None}),
    ]
    assert problems(rows) == [(2, "ROW_UNREADABLE")]


def test_columns_of_one_name_are_refused() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), file)
    with pytest.raises(SourceUnreadable) as refused:
        read(file.getvalue())
    assert refused.value.code == "DUPLICATE_COLUMN"


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 9), st.booleans())
def test_an_array_is_cut_rightly_wherever_the_chunks_end(
    texts: list[str], chunk: int, spaced: bool
) -> None:
    rows = [{"text": text, "more": [text, {"x": [1, "]}"]}]} for text in texts]
    cut = b" \n,\n\t" if spaced else b","
    content = b"[" + cut.join(jsonl(row).strip() for row in rows) + b"]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "CHUNK_BYTES", chunk)
        _, found = read(content)
    assert [value for _, value in values(found)] == rows
    assert len(found) == len(rows)


def test_one_bad_element_of_an_array_costs_itself_alone() -> None:
    _, rows = read(b'[{"a": 1},\n{"a": NaN},\n{"a" 3},\n{"a": 4}},\n{"a": 5}]')
    assert values(rows) == [(1, {"a": 1}), (4, {"a": 4}), (5, {"a": 5})]
    assert problems(rows) == [(2, "MALFORMED_JSON"), (3, "MALFORMED_JSON"), (4, "MALFORMED_JSON")]


def test_an_element_of_an_array_that_is_one_line_is_named_by_its_place() -> None:
    _, rows = read(b'[{"text": "a"}, {"text": ""}, {"text" "b"}, {"text": "c"}]')
    made = [*Converter(Mapping(format=Format.TEXT, columns={Part.TEXT: "text"})).records(rows)]
    assert [(each.line, each.message) for each in made if isinstance(each, Rejected)] == [
        (1, "Element 2: The field text is blank."),
        (1, "Element 3: This is not JSON at character 9: Expecting ':' delimiter."),
    ]


def test_where_a_line_is_no_json_any_more_is_said_once() -> None:
    _, rows = read(b'{"a": 1}\n{"a": "b\n')
    (cut,) = [row.message for row in rows if isinstance(row, Rejected)]
    assert cut == "This is not JSON at character 7: Unterminated string."


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'[{"a": 1},\n{"a": 2', "ENDS_EARLY"),
        (b'[{"a": 1}\n', "ENDS_EARLY"),
        (b'[{"a": 1}]\n[{"a": 2}]', "TRAILING_CONTENT"),
    ],
)
def test_an_array_that_does_not_end_as_one_is_named(content: bytes, code: str) -> None:
    _, rows = read(content)
    assert values(rows) == [(1, {"a": 1})]
    assert problems(rows) == [(2, code)]


def test_an_object_without_an_array_holds_no_rows() -> None:
    _, rows = read(b'{\n"a": {"b": [1]},\n"c": 2\n}')
    assert rows == [rows[0]]
    assert problems(rows) == [(4, "NO_ARRAY")]


def test_a_bomb_is_left_at_the_ratio_and_what_came_before_is_kept() -> None:
    limits = Limits(expansion=100, expansion_from_bytes=1024 * 1024)
    for pack in PACKERS.values():
        _, rows = read(pack(jsonl(*ROWS) + bytes(30_000_000)), limits)
        assert values(rows) == NUMBERED
        assert problems(rows) == [(3, "EXPANDS_TOO_MUCH")]


def test_a_parquet_bomb_is_not_unpacked() -> None:
    limits = Limits(expansion=100, expansion_from_bytes=1024 * 1024)
    bomb = parquet([{"text": "x" * 1_000}] * 3_000, compression="zstd")
    assert len(bomb) < 10_000
    assert problems(read(bomb, limits)[1]) == [(1, "EXPANDS_TOO_MUCH")]
