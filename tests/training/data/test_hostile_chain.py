"""Hostile content from the file to the record: kept to the letter or refused by line, whatever holds
it; and hostile files in a process of little memory."""

import csv
import io
import json
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.files import PACKERS, jsonl, parquet
from training.data.containers.prose import Division
from training.data.containers.reading import open_contents
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.records import Record, Rejected

MEGABYTE = 1024 * 1024

hostile = (
    st.text(max_size=20)
    | st.sampled_from(
        [
            "\ufeff",
            "\u2028",
            "\x85",
            "\r",
            "\0",
            "\x1b[31m",
            '"',
            '""',
            ",",
            "{",
            "e\u0301",
            "\ud800",
        ]
    )
    | st.sampled_from(["\U0001f600" * 9, "\u202eabc", " \t", "null", "=1+1"])
)
TEXTS = st.lists(hostile, min_size=1, max_size=6)


def taken(
    content: bytes, *, name: str = "", division: Division = Division.PASSAGES
) -> list[tuple[int, Record] | Rejected]:
    def rows() -> Iterator[object]:
        return open_contents(io.BytesIO(content), name=name, division=division).rows

    return list(Converter(detect(rows())).records(rows()))


def as_csv(rows: list[dict[str, object]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["text", "n"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def as_array(rows: list[dict[str, object]]) -> bytes:
    return json.dumps(rows, indent=1).encode()


WRITERS: dict[str, Callable[[list[dict[str, object]]], bytes]] = {
    "JSONL": lambda rows: b"".join(json.dumps(row).encode() + b"\r\n" for row in rows),
    "JSON": as_array,
    "CSV": as_csv,
    "Parquet": parquet,
}


def refusal(text: str) -> str | None:
    """The reason for which no record can have this text."""
    if not text.strip():
        return "BLANK_TEXT"
    if "\0" in text:
        return "NUL_CHARACTER"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "LONE_SURROGATE"
    return None


@pytest.mark.parametrize("form", WRITERS)
@settings(deadline=None)  # the first example loads pyarrow
@given(texts=TEXTS, pack=st.sampled_from([bytes, *PACKERS.values()]))
def test_any_text_is_kept_to_the_letter_or_refused_by_its_line(
    form: str, texts: list[str], pack: Callable[[bytes], bytes]
) -> None:
    if form != "JSONL" and form != "JSON":  # these can hold no half of a pair
        texts = [text.encode(errors="replace").decode() for text in texts]
    if form == "CSV":  # the end of a line within quotes becomes a newline
        texts = [text.replace("\r", "\n") for text in texts]
    rows: list[dict[str, object]] = [{"text": "first", "n": 0}]
    rows += [{"text": text, "n": number} for number, text in enumerate(texts, 1)]
    content = WRITERS[form](rows)
    found = taken(content if form == "Parquet" else pack(content))
    assert len(found) == len(rows)
    for row, text in zip(found, ["first", *texts], strict=True):
        if isinstance(row, Rejected):
            assert row.code == refusal(text)
            assert "\0" not in row.excerpt
        else:
            assert row[1] == {"text": text}
    lines = [row.line if isinstance(row, Rejected) else row[0] for row in found]
    assert lines == sorted(set(lines))


@given(texts=TEXTS, made=st.sampled_from(["txt", "zip"]))
def test_any_line_of_a_text_is_kept_to_the_letter_or_refused(texts: list[str], made: str) -> None:
    kept = [text.encode(errors="replace").decode() for text in texts]
    lines = [line for text in kept for line in text.split("\n")]
    content = "\n".join(["first", *lines]).encode().replace(b"\0", b"")  # it would be no text
    if made == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.txt", content)
        content = file.getvalue()
    found = taken(content, name="a.txt", division=Division.LINES)
    good = {row[0]: row[1]["text"] for row in found if not isinstance(row, Rejected)}
    for number, line in enumerate(["first", *lines], 1):
        if number in good:
            assert good[number] == line.replace("\0", "").rstrip(" \t\r\x0b\x0c")


@pytest.mark.parametrize(
    ("content", "records", "codes"),
    [
        (b'text,n\n"a\r\nb",1\r\n"c""d",2\n', ["a\nb", 'c"d'], []),
        (b'text,n\n"a" ,1\nb"c,2\n"d,e",3\n', ['b"c', "d,e"], ["MALFORMED_CSV"]),
        (b"text,n\n\"a,1\n'b',2\n", ["'b'"], ["MALFORMED_CSV"]),
        (b'text,n\na,1,2\nb\n,\nc,3\n"",4\n', ["c"], ["FIELD_COUNT"] * 2 + ["BLANK_TEXT"] * 2),
        (b"\xef\xbb\xbftext;n\r\na;1\r\n\r\nb;2", ["a", "b"], []),
        (b'{"text": "a"}\r\n\n{"text": "b"}\n\r\n{"text": "c"}', ["a", "b", "c"], []),
        (b'{"text": "a"}\r{"text": "b"}\n{"text": "c"}\n', ["c"], ["MALFORMED_JSON"]),
        (b'{"text": "a", "n": -0.0, "m": 1e308}\n{"text": 1}\n', ["a"], ["NOT_A_STRING"]),
        (b'{"text": "a"}\n{"text": {"a": 1}}\n{"text": ["b"]}\n', ["a"], ["NOT_A_STRING"] * 2),
        (
            b'{"text": "a"}\n{"t\\u0065xt": "b"}\n{"text": "c", "text": "d"}',
            ["a", "b"],
            ["DUPLICATE_KEY"],
        ),
    ],
)
def test_odd_quoting_and_odd_lines_cost_the_rows_that_have_them(
    content: bytes, records: list[str], codes: list[str]
) -> None:
    found = taken(content)
    assert [row[1]["text"] for row in found if not isinstance(row, Rejected)] == records
    assert [row.code for row in found if isinstance(row, Rejected)] == codes


def _sparse(path: Path, start: bytes, size: int) -> None:
    """A file of NUL bytes behind its start, which takes no room."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def _huge_header(path: Path) -> None:
    """A tar archive with a name of 80 MB."""
    header = tarfile.TarInfo("a.txt")
    header.type = tarfile.GNUTYPE_LONGNAME
    header.size = 80 * MEGABYTE
    _sparse(path, header.tobuf(tarfile.GNU_FORMAT), 81 * MEGABYTE)


def _zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "first")
        for number in range(3):
            archive.writestr(f"{number}.txt", b"x" * (40 * MEGABYTE))


MADE: dict[str, tuple[Callable[[Path], object], dict[str, int]]] = {
    "line.jsonl": (
        lambda path: _sparse(path, b'{"text": "a"}\n', 80 * MEGABYTE),
        {"RECORDS": 1, "ROW_TOO_LARGE": 1},
    ),
    "element.json": (
        lambda path: _sparse(path, b'[{"text": "a"}, "', 80 * MEGABYTE),
        {"RECORDS": 1, "ROW_TOO_LARGE": 1, "ENDS_EARLY": 1},
    ),
    "field.csv": (
        lambda path: _sparse(path, b'text,n\na,1\n"', 80 * MEGABYTE),
        {"RECORDS": 1, "ROW_TOO_LARGE": 1},
    ),
    "bomb.jsonl.gz": (
        lambda path: path.write_bytes(
            PACKERS["gzip"](jsonl({"text": "a"}) + bytes(100 * MEGABYTE))
        ),
        {"RECORDS": 1, "EXPANDS_TOO_MUCH": 1},
    ),
    "bomb.zip": (_zip_bomb, {"RECORDS": 1, "ROW_TOO_LARGE": 1, "EXPANDS_TOO_MUCH": 2}),
    "header.tar": (_huge_header, {"ARCHIVE_WITHOUT_TEXT": 1}),
    "bomb.parquet": (
        lambda path: path.write_bytes(parquet([{"text": "x" * 1000}] * 90_000, compression="zstd")),
        {"EXPANDS_TOO_MUCH": 1},
    ),
}


@pytest.mark.slow
def test_hostile_files_are_read_in_little_memory(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in MADE]
    for path in paths:
        MADE[path.name][0](path)
    program = [sys.executable, "-m", "tests.training.data.reading_child", *map(str, paths)]
    done = subprocess.run(program, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    *outcomes, peak = done.stdout.splitlines()
    found = {path.name: json.loads(line) for path, line in zip(paths, outcomes, strict=True)}
    assert found == {name: outcome for name, (_, outcome) in MADE.items()}
    assert int(peak) < 150 * MEGABYTE


def test_a_process_survives_damaged_parquet(tmp_path: Path) -> None:
    noise = random.Random(11)
    rows = [{"text": f"row {number}", "m": [{"a": "b"}]} for number in range(60)]
    whole = {packed: parquet(rows, group=20, compression=packed) for packed in ("snappy", "zstd")}
    paths = []
    for number in range(60):
        content = bytearray(whole[noise.choice(["snappy", "zstd"])])
        for _ in range(noise.randint(1, 6)):
            content[noise.randrange(4, len(content))] = noise.randrange(256)
        paths.append(tmp_path / f"{number}.parquet")
        paths[-1].write_bytes(
            content[: noise.choice([len(content), noise.randrange(8, len(content))])]
        )
    program = [sys.executable, "-m", "tests.training.data.reading_child", *map(str, paths)]
    done = subprocess.run(program, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = [json.loads(line) for line in done.stdout.splitlines()[:-1]]
    assert len(outcomes) == 60
    assert {code for outcome in outcomes for code in outcome} == {
        "RECORDS",
        "PARQUET_DAMAGED",
        "ROW_UNREADABLE",
    }
