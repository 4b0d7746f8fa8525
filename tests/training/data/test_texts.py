"""Plain text and source files: how they are told by name, and how they are cut."""

import io

import pytest

from tests.training.data.files import PACKERS, parquet, problems, values
from training.config import DataType
from training.data.containers.languages import Kind, kind_of, language_of
from training.data.containers.limits import Limits
from training.data.containers.prose import PASSAGE_BYTES, Division
from training.data.containers.reading import Container, Contents, open_contents
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.errors import SourceUnreadable
from training.events import Failure

STORY = b"\xef\xbb\xbf\r\nOne day\r\nit rained.\r\n \r\n\r\nThen, it did not.\r\n\x0c\r\nThe end"
PARAGRAPHS = [(2, "One day\nit rained."), (6, "Then, it did not."), (8, "The end")]


def opened(
    content: bytes,
    name: str,
    division: Division = Division.PASSAGES,
    limits: Limits | None = None,
) -> Contents:
    return open_contents(io.BytesIO(content), limits, name=name, division=division)


def texts(contents: Contents) -> list[tuple[int, object]]:
    return [
        (line, value["text"]) for line, value in values(contents.rows) if isinstance(value, dict)
    ]


@pytest.mark.parametrize(
    ("division", "expected"),
    [
        (Division.PASSAGES, [(2, "One day\nit rained.\n \n\nThen, it did not.\n\x0c\nThe end")]),
        (Division.WHOLE, [(2, "One day\nit rained.\n \n\nThen, it did not.\n\x0c\nThe end")]),
        (Division.PARAGRAPHS, PARAGRAPHS),
        (
            Division.LINES,
            [(2, "One day"), (3, "it rained."), (6, "Then, it did not."), (8, "The end")],
        ),
    ],
)
def test_a_text_is_cut_as_it_is_wanted(division: Division, expected: list[object]) -> None:
    for pack in (bytes, *PACKERS.values()):
        contents = opened(pack(STORY), "story.txt", division)
        assert contents.container is Container.TEXT
        assert texts(contents) == expected


def test_passages_are_of_whole_paragraphs_and_lose_nothing() -> None:
    paragraphs = [f"{number} " + "word\n" * (number % 90 * 5) + "end" for number in range(400)]
    content = "\n\n".join(paragraphs).encode()
    found = [str(text) for _, text in texts(opened(content, "book.md"))]
    assert "\n\n".join(found).encode() == content
    assert max(len(text) for text in found) <= PASSAGE_BYTES
    assert sum(len(text) for text in found) / len(found) > PASSAGE_BYTES / 2


def test_a_long_paragraph_is_cut_between_lines_and_a_long_line_never() -> None:
    line, long_line = b"x" * 999, b"y" * 10_000
    content = b"\n".join([line] * 7 + [long_line, line])
    found = texts(opened(content, "a.txt"))
    assert [(number, len(str(text))) for number, text in found] == [
        (1, 2999),
        (4, 2999),
        (7, 999),
        (8, 10_000),
        (9, 999),
    ]


@pytest.mark.parametrize("division", [Division.PASSAGES, Division.PARAGRAPHS, Division.LINES])
def test_what_cannot_be_read_costs_its_record(division: Division) -> None:
    words = b"word " * 599
    content = b"\n\n".join([words] * 200 + [b"\xff" + words, words, b"z" * 5000, b"last"])
    rows = list(opened(content, "a.txt", division, Limits(row_bytes=4096)).rows)
    assert problems(rows) == [(401, "NOT_UTF8"), (405, "ROW_TOO_LARGE")]
    good = [1 + 2 * number for number in range(200)]
    assert [line for line, _ in values(rows)] == [*good, 403, 407]


def test_a_source_file_is_one_record_of_its_language() -> None:
    contents = opened(b"\nfn main() {\r\n\r\n}\r\n\r\n", "src/main.rs")
    assert contents.container is Container.CODE
    rows = list(contents.rows)
    assert values(rows) == [(2, {"code": "fn main() {\n\n}\n", "language": "Rust"})]
    mapping = detect(rows)
    assert mapping.data_type is DataType.CODE
    assert list(Converter(mapping).records(rows)) == [(2, rows[0].value)]


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("A.PY", "Python"),
        ("x.sql", "SQL"),
        ("x.pl", "Perl"),
        ("x.R", "R"),
        ("Makefile", "Makefile"),
        ("CMakeLists.txt", "CMake"),
        ("README.md", "Markdown"),
        ("notes.txt", None),
        ("LICENSE", None),
    ],
)
def test_a_language_is_told_by_the_name(path: str, language: str | None) -> None:
    assert language_of(path) == language


def test_a_kind_is_told_by_the_name() -> None:
    kinds = {path: kind_of(path) for path in ("a.md", "a.py", "a.csv", "a.tar.gz", "a", "a.png")}
    assert list(kinds.values()) == [
        Kind.PROSE,
        Kind.SOURCE,
        Kind.DATA,
        Kind.ARCHIVE,
        Kind.UNKNOWN,
        Kind.UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("content", "name", "container"),
    [
        (b'{"text": "a"}\n{"text": "b"}\n', "data.txt", Container.JSONL),
        (b'[\n{"text": "a"}]', "data.txt", Container.JSON),
        (b"[A link](to) and {more}\n", "a.md", Container.TEXT),
        (b"{not JSON}\n", "a.txt", Container.TEXT),
        (b"text,answer\na,b\n", "a.txt", Container.TEXT),
        (b"text,answer\na,b\n", "a.csv", Container.CSV),
        (b"text,answer\na,b\n", "", Container.CSV),
        (b'{"a": 1}\n{"a": 2}', "a.json", Container.JSONL),
        (b'{"a": 1}\n', "a.js", Container.CODE),
    ],
)
def test_content_decides_before_the_name(content: bytes, name: str, container: Container) -> None:
    assert opened(content, name).container is container


def test_what_is_called_text_and_is_none_is_refused() -> None:
    for content in (b"a\0b", b"\xe4hnlich\n"):
        with pytest.raises(SourceUnreadable) as refused:
            opened(content, "a.txt")
        assert refused.value.code == "NOT_TEXT"
        assert refused.value.remedy == "Save the file as text in UTF-8."


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b'{"text": "a"}\n', "a.txt", "this is JSONL, which has rows of its own"),
        (b"text,n\na,1\n", "a", "this is CSV, which has rows of its own"),
        (parquet([{"text": "a"}]), "a", "this is PARQUET, which has rows of its own"),
        (b"x = 1\n", "a.py", "this is source code, a record a file"),
    ],
    ids=["JSONL", "CSV", "Parquet", "code"],
)
def test_what_is_no_plain_text_is_not_cut_in_silence(content: bytes, name: str, said: str) -> None:
    plain = opened(content, name)
    assert len(values(plain.rows)) == 1
    for division in (Division.LINES, Division.PARAGRAPHS):
        with pytest.raises(SourceUnreadable) as caught:
            opened(content, name, division)
        assert caught.value.failure() == Failure(
            code="DIVISION_WITHOUT_EFFECT",
            message=f"The file cannot be read: the division {division} cuts plain text alone, and "
            f"{said}.",
            remedy="Leave division out.",
        )
    if plain.container is Container.CODE:  # which is what happens
        assert values(opened(content, name, Division.WHOLE).rows) == values(
            opened(content, name).rows
        )
