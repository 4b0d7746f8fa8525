"""The ingest child's work: what it writes, counts and refuses, and the memory it holds."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.files import jsonl, parquet, statistics
from tests.training.data.test_round_trip import RECORDS
from training.config import DataType
from training.data import tally
from training.data.ingest import storing
from training.data.ingest.mapping import CANONICAL, first_rows
from training.data.ingest.run import ingest, main
from training.data.ingest.spec import FileSource, IngestResult, IngestSpec, OnInvalid
from training.data.line_files import STRIDE, read_lines, writing_lines
from training.data.records import Rejected, canonical_line, parse
from training.errors import SourceUnreadable

QA = [{"question": f"What is {n} and {n}?", "answer": f"It is {2 * n}."} for n in range(20)]


def taken_in(content: bytes, folder: Path, **told: object) -> IngestResult:
    """What comes of a file of this content."""
    source, made = folder / "source", folder / "made"
    source.write_bytes(content)
    made.mkdir(exist_ok=True)
    for old in made.iterdir():
        old.unlink()
    spec = {"source": FileSource(path=str(source)), **told}
    return ingest(IngestSpec.model_validate(spec), made)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("data_type", DataType)
def test_an_export_that_is_taken_in_again_has_the_same_sum(
    data_type: DataType, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("again")

    @settings(max_examples=25, deadline=None)  # each of them is written and synced twice
    @given(raw=st.lists(RECORDS[data_type], min_size=1, max_size=4))
    def again(raw: list[dict[str, object]]) -> None:
        sent = b"".join(json.dumps(each).encode() + b"\n" for each in raw)
        first = taken_in(sent, folder)
        exported = (folder / "made" / "records.jsonl").read_bytes()
        second = taken_in(exported, folder)
        assert first.sha256 == second.sha256 == hashlib.sha256(exported).hexdigest()
        assert first.mapping.data_type is second.mapping.data_type is data_type
        assert first.statistics == second.statistics
        assert (second.rows, second.rejected_count, second.left_out) == (len(raw), 0, {})

    again()


@pytest.mark.parametrize("data_type", DataType)
@given(data=st.data())
def test_a_canonical_record_passes_the_canonical_mapping(
    data_type: DataType, data: st.DataObject
) -> None:
    record = parse(data_type, data.draw(RECORDS[data_type]))
    converter = storing.Converter(CANONICAL[data_type])
    assert converter.record(record) == record
    assert CANONICAL[data_type].data_type is data_type


def test_what_was_not_taken_is_kept_whole_with_line_and_reason(tmp_path: Path) -> None:
    rows: list[object] = [QA[0], {"question": "why?"}, "no object", QA[1]]
    found = taken_in(jsonl(*rows) + b"{\n", tmp_path, on_invalid=OnInvalid.DROP)
    assert (found.rows, found.rejected_count, found.statistics.records) == (5, 3, 2)
    assert found.refused is None
    lines = (tmp_path / "made" / "rejected.jsonl").read_bytes().splitlines()
    kept = [Rejected.model_validate_json(line) for line in lines]
    assert [(each.line, each.code) for each in kept] == [
        (2, "MISSING_FIELD"),
        (3, "NOT_AN_OBJECT"),
        (5, "MALFORMED_JSON"),
    ]
    assert kept[0].excerpt == '{"question": "why?"}'


def test_a_refusal_keeps_no_records_and_all_that_was_rejected(tmp_path: Path) -> None:
    found = taken_in(jsonl(QA[0], {"question": "why?"}, QA[1]), tmp_path)
    assert found.refused is not None
    assert found.refused.message == (
        "1 of 3 records are invalid. Line 2: The column 'answer' is missing."
    )
    assert names(tmp_path / "made") == {"rejected.jsonl"}


def test_too_many_mistakes_end_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "MAX_REJECTED", 3)
    bad = jsonl(*({"question": "why?"} for _ in range(100)))
    found = taken_in(jsonl(QA[0]) + bad, tmp_path, on_invalid=OnInvalid.DROP)
    assert found.refused is not None
    assert (found.refused.code, found.rejected_count) == ("TOO_MANY_INVALID", 4)
    assert names(tmp_path / "made") == {"rejected.jsonl"}


def test_a_type_that_the_rows_do_not_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable) as refused:
        taken_in(jsonl(*QA), tmp_path, data_type=DataType.TEXT)
    assert refused.value.code == "DATA_TYPE_DIFFERS"
    assert names(tmp_path / "made") == set()


def test_columns_with_names_that_cannot_be_shown_are_counted(tmp_path: Path) -> None:
    rows = [{**QA[0], "\ud800": 1, "a\0b": 2, "plain": 3}]
    found = taken_in(json.dumps(rows[0]).encode(), tmp_path)
    assert found.left_out == {"\\ud800": 1, "a\\0b": 1, "plain": 1}
    assert found.mapping.ignored == ("plain",)


def test_the_sample_that_is_held_is_bounded_by_its_size() -> None:
    def rows() -> Iterator[Rejected | storing.RawRow]:
        for line in range(1, 1000):
            yield storing.RawRow(line, {"text": "x" * 3_000_000})

    every = rows()
    assert [row.line for row in first_rows(every)] == [1, 2, 3]
    assert next(every).line == 4


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from training.data.ingest.run import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_named_and_leaves_nothing_half(tmp_path: Path) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    source.write_bytes(jsonl(*({"text": "x" * 1000} for _ in range(1000))))
    made.mkdir()
    spec = IngestSpec(source=FileSource(path=str(source)))
    (made / "ingest.json").write_text(spec.model_dump_json())
    subprocess.run([sys.executable, "-P", "-c", FULL, str(made)], check=True)
    answer = json.loads((made / "result.json").read_bytes())
    assert answer["error"]["code"] == "DISK_FULL"
    assert "upload" in answer["error"]["remedy"]
    assert names(made) - {"pulse"} == {"ingest.json", "lock", "result.json"}


def test_a_child_tells_how_much_of_the_file_it_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.progress.telling.TELL_SECONDS", 0.0)
    (tmp_path / "source").write_bytes(jsonl(*QA, *QA, *QA, *QA))
    spec = IngestSpec(source=FileSource(path=str(tmp_path / "source")))
    (tmp_path / "ingest.json").write_text(spec.model_dump_json())
    assert main([str(tmp_path)]) == 0
    assert float((tmp_path / "progress").read_text()) == 100.0
    result = json.loads((tmp_path / "result.json").read_bytes())["result"]
    assert IngestResult.model_validate(result).statistics.duplicates == 60


@pytest.mark.parametrize("count", [0, 1, STRIDE, STRIDE + 1, 3 * STRIDE])
def test_lines_are_read_from_any_place(tmp_path: Path, count: int) -> None:
    path = tmp_path / "lines.jsonl"
    with writing_lines(path) as writer:
        for number in range(1, count + 1):
            writer.add(b"%d\n" % number)
    assert path.exists() is bool(count)
    if not count:
        return
    for after in {0, 1, STRIDE - 1, STRIDE, 2 * STRIDE + 5, count - 1, count, count + 5000}:
        expected = [(n, b"%d\n" % n) for n in range(after + 1, min(after + 3, count) + 1)]
        assert read_lines(path, after, 3) == expected
    path.with_suffix(".offsets").unlink(missing_ok=True)
    assert read_lines(path, count - 1, 9) == [(count, b"%d\n" % count)]


def test_lines_of_a_block_that_fails_are_gone(tmp_path: Path) -> None:
    def break_off() -> None:
        with writing_lines(tmp_path / "lines.jsonl") as writer:
            writer.add(b"1\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert names(tmp_path) == set()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=6), max_size=60))
def test_statistics_agree_with_a_plain_count(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally._Distinct, "HELD", 7)
        found = statistics(DataType.TEXT, [{"text": each} for each in texts])
    lengths = sorted(map(len, texts))
    assert found.records == len(texts)
    assert found.duplicates == len(texts) - len(Counter(texts))
    assert found.characters == found.trained_characters == sum(lengths)
    for percent, value in found.length_percentiles:
        assert value == lengths[max(1, -(-percent * len(lengths) // 100)) - 1]


MEMORY = """
import re, sys
from pathlib import Path
from training.data.ingest.run import ingest
from training.data.ingest.spec import FileSource, IngestSpec, OnInvalid
spec = IngestSpec(source=FileSource(path=sys.argv[1]), on_invalid=OnInvalid.DROP)
found = ingest(spec, Path(sys.argv[2]))
print(found.statistics.records, found.rejected_count, found.statistics.duplicates)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = {}
    for count in (20_000, 200_000):
        source, made = tmp_path / "source.jsonl", tmp_path / f"made-{count}"
        made.mkdir()
        with source.open("wb") as file:
            for number in range(count):
                file.write(canonical_line({"text": f"{number} " + "x" * (number % 997)}))
                if number % 4 == 0:
                    file.write(b"[]\n")
        found = subprocess.run(
            [sys.executable, "-P", "-c", MEMORY, str(source), str(made)],
            check=True,
            capture_output=True,
            text=True,
        )
        counts, peak = found.stdout.splitlines()
        assert counts == f"{count} {count // 4} 0"
        peaks[count] = int(peak)
    # a digest and a length for each record would be 20 MB more
    assert peaks[200_000] - peaks[20_000] < 8
    assert peaks[200_000] < 60


def test_parquet_is_taken_in_by_the_same_way(tmp_path: Path) -> None:
    found = taken_in(parquet([*QA]), tmp_path)
    assert found.sha256 == taken_in(jsonl(*QA), tmp_path).sha256
