"""Archives of texts and source files, read entry by entry within limits."""

import io
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.files import PACKERS, problems, told, values
from training.data.containers.limits import Limits
from training.data.containers.prose import Division
from training.data.containers.reading import Container, Contents, open_contents
from training.data.containers.rows import Place, RawRow
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.records import Rejected
from training.errors import SourceUnreadable

FILES = {
    "shop/": b"",
    "shop/main.py": b"import chain\n\nchain.oil()\n",
    "shop/README.md": b"# Shop\n\nWe fix bicycles.\n",
    "shop/LICENSE": b"Do as you like.\n",
    "shop/__init__.py": b"",
    "shop/logo.png": b"\x89PNG\r\n\x1a\n\0\0",
    "shop/latin.py": b"# \xe4hnlich\n",
    "shop/rows.csv": b"a,b\n1,2\n",
    "shop/more.zip": b"PK\x03\x04",
    "shop/chain.rs": b"fn oil() {}",
}
CODE = [
    (1, {"code": "import chain\n\nchain.oil()\n", "language": "Python"}),
    (5, {"code": "# Shop\n\nWe fix bicycles.\n", "language": "Markdown"}),
    (9, {"code": "Do as you like.\n", "language": None}),
    (16, {"code": "fn oil() {}\n", "language": "Rust"}),
]
REFUSED = [
    (11, "ENTRY_EMPTY"),
    (12, "ENTRY_NOT_TEXT"),
    (13, "ENTRY_NOT_TEXT"),
    (14, "ENTRY_IS_DATA"),
    (15, "ENTRY_IS_ARCHIVE"),
]


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return file.getvalue()


def tarred(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for path, content in files.items():
            header = tarfile.TarInfo(path)
            header.size = len(content)
            header.type = tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


def opened(
    content: bytes, division: Division = Division.PASSAGES, limits: Limits | None = None
) -> tuple[Contents, list[RawRow | Rejected]]:
    contents = open_contents(io.BytesIO(content), limits, division=division)
    return contents, list(contents.rows)


MAKERS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "zip": zipped,
    "zip, stored": lambda files: zipped(files, zipfile.ZIP_STORED),
    "tar": tarred,
    "tar, as GNU has it": lambda files: tarred(files, tarfile.GNU_FORMAT),
    "tar.gz": lambda files: PACKERS["gzip"](tarred(files)),
    "tar.zst": lambda files: PACKERS["zstd"](tarred(files)),
}


@pytest.mark.parametrize("made", MAKERS)
def test_an_archive_of_source_files_is_code_and_what_is_not_read_is_named(made: str) -> None:
    contents, rows = opened(MAKERS[made](FILES))
    assert contents.container is (Container.ZIP if "zip" in made else Container.TAR)
    assert values(rows) == CODE
    assert problems(rows) == REFUSED
    places = [contents.places.find(row.line) for row in rows]
    paths = [path for path in FILES if path != "shop/"]
    assert places == [Place(path, 1) for path in paths]
    messages = [row.message for row in rows if isinstance(row, Rejected)]
    assert messages[1] == "shop/logo.png, line 1: The file was not read: it is not text."
    assert all(message.startswith(path) for message, path in zip(messages, paths[3:8], strict=True))


def test_an_archive_of_prose_is_text_cut_as_wanted_and_its_source_files_whole() -> None:
    files = {"a.txt": b"one\n\ntwo\n", "b.md": b"three", "c.py": b"x = 1\n\ny = 2\n"}
    contents, rows = opened(tarred(files), Division.PARAGRAPHS)
    assert told(rows) == [
        (1, {"text": "one"}),
        (3, {"text": "two"}),
        (5, {"text": "three"}),
        (7, {"text": "x = 1\n\ny = 2"}),
    ]
    assert contents.places.find(3) == Place("a.txt", 3)
    assert contents.places.find(9) == Place("c.py", 3)


def test_an_archive_of_source_files_is_not_cut_in_silence() -> None:
    content = zipped(FILES)
    assert values(opened(content, Division.WHOLE)[1]) == CODE
    with pytest.raises(SourceUnreadable, match="LINES cuts plain text alone") as caught:
        opened(content, Division.LINES)
    assert caught.value.code == "DIVISION_WITHOUT_EFFECT"


@pytest.mark.parametrize("made", MAKERS)
def test_long_and_foreign_names_are_read(made: str) -> None:
    names = ["d/" * 90 + "é日本.py", "x" * 150 + "/" + "y" * 150 + ".py"]
    _, rows = opened(MAKERS[made](dict.fromkeys(names, b"x = 1\n")))
    assert [value for _, value in values(rows)] == [{"code": "x = 1\n", "language": "Python"}] * 2


def test_a_record_that_is_refused_later_is_named_by_its_file_too() -> None:
    files = {"a.txt": b"good", "b.txt": "good\n\n\u00a0".encode()}
    contents, rows = opened(zipped(files), Division.PARAGRAPHS)
    records = list(Converter(detect(rows)).records(rows, contents.places))
    assert records[:2] == [(1, {"text": "good"}), (3, {"text": "good"})]
    assert isinstance(records[2], Rejected)
    assert (records[2].line, records[2].code) == (5, "BLANK_TEXT")
    assert records[2].message == "b.txt, line 3: The field text is blank."


def test_no_link_and_no_path_out_of_the_archive_is_followed() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for path, kind in (
            ("link.py", tarfile.SYMTYPE),
            ("hard.py", tarfile.LNKTYPE),
            ("pipe.py", tarfile.FIFOTYPE),
            ("/etc/passwd.py", tarfile.REGTYPE),
            ("../up.py", tarfile.REGTYPE),
            ("good.py", tarfile.REGTYPE),
        ):
            header = tarfile.TarInfo(path)
            header.type = kind
            header.linkname = "/etc/passwd"
            header.size = 6 if kind == tarfile.REGTYPE else 0
            archive.addfile(header, io.BytesIO(b"x = 1\n"))
    _, rows = opened(file.getvalue())
    assert values(rows) == [(6, {"code": "x = 1\n", "language": "Python"})]
    codes = ["ENTRY_IS_LINK", "ENTRY_IS_LINK", "ENTRY_NOT_FILE", "ENTRY_PATH", "ENTRY_PATH"]
    assert problems(rows) == list(enumerate(codes, 1))


def test_a_zip_tells_links_and_what_it_cannot_unpack() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("link.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("packed.py", "x = 1", zipfile.ZIP_BZIP2)
        archive.writestr("good.py", "x = 1")
    content = bytearray(file.getvalue())
    _, rows = opened(bytes(content))
    assert values(rows) == [(3, {"code": "x = 1\n", "language": "Python"})]
    assert problems(rows) == [(1, "ENTRY_IS_LINK"), (2, "ENTRY_COMPRESSION")]
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of encryption
    assert problems(opened(bytes(content))[1])[2] == (3, "ENTRY_ENCRYPTED")


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"a.jsonl": b"{}", "b.csv": b"a"}, "ARCHIVE_WITHOUT_TEXT", "it has 'a.jsonl', 'b.csv'"),
        ({"a/": b""}, "ARCHIVE_WITHOUT_TEXT", "it is empty"),
        ({"[Content_Types].xml": b"", "a.xml": b"<a/>"}, "CONTAINER_UNKNOWN", "office"),
        ({f"{number}.txt": b"a" for number in range(12)}, "TOO_MANY_ENTRIES", "more than 10"),
    ],
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_of_something_else_is_refused(
    files: dict[str, bytes], code: str, words: str, make: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    with pytest.raises(SourceUnreadable) as refused:
        opened(make(files), limits=Limits(entries=10))
    assert refused.value.code == code
    assert words in refused.value.message
    assert refused.value.remedy


def test_a_list_of_files_that_is_too_long_is_not_read() -> None:
    content = zipped({f"{number:04}.txt": b"" for number in range(2000)})
    with pytest.raises(SourceUnreadable) as refused:
        opened(content, limits=Limits(directory_bytes=70_000))
    assert refused.value.code == "TOO_MANY_ENTRIES"


@pytest.mark.parametrize("made", ["zip", "tar.gz", "tar.zst"])
def test_a_bomb_is_left_at_the_ratio(made: str) -> None:
    limits = Limits(row_bytes=65536, expansion=100, expansion_from_bytes=1024 * 1024)
    content = MAKERS[made]({"a.txt": b"first", "b.txt": b"x\n\n" * 800_000, "c.txt": b"last"})
    _, rows = opened(content, limits=limits)
    assert values(rows)[0] == (1, {"text": "first"})
    assert problems(rows)[0][1] == "EXPANDS_TOO_MUCH"
    assert len(rows) < 1000


def test_damage_in_one_file_of_a_zip_is_named_and_the_others_are_read() -> None:
    files = {f"{number}.py": f"x = {number}\n".encode() * 9 for number in range(3)}
    content = bytearray(zipped(files, zipfile.ZIP_STORED))
    content[content.index(b"x = 1")] = ord("y")
    _, rows = opened(bytes(content))
    assert [value for _, value in values(rows)] == [
        {"code": files[f"{number}.py"].decode(), "language": "Python"} for number in (0, 2)
    ]
    assert [code for _, code in problems(rows)] == ["ENTRY_DAMAGED"]


def test_a_tar_that_ends_early_keeps_what_came_before() -> None:
    noise = random.Random(7)
    files = {f"{number}.py": f"{noise.randbytes(5000).hex()}\n".encode() for number in range(3)}
    for cut in (tarred(files)[:25_000], PACKERS["gzip"](tarred(files))[:-2000]):
        _, rows = opened(cut)
        assert values(rows)[0] == (1, {"code": files["0.py"].decode(), "language": "Python"})
        assert problems(rows)[-1][1] == "ENDS_EARLY"


@settings(deadline=None)
@given(
    made=st.sampled_from(sorted(MAKERS)),
    damage=st.lists(st.tuples(st.integers(4, 5000), st.integers(0, 255)), max_size=4),
    cut=st.integers(5, 5000),
)
def test_any_damage_to_an_archive_ends_in_rows_or_typed_problems(
    made: str, damage: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(MAKERS[made](FILES))
    for place, value in damage:
        content[4 + place % (len(content) - 4)] = value
    try:
        _, rows = opened(bytes(content[:cut]))
    except SourceUnreadable:
        return
    assert [row.line for row in rows] == sorted(row.line for row in rows)
    try:
        converter = Converter(detect(rows))
    except SourceUnreadable:
        return
    assert len(list(converter.records(rows))) == len(rows)
