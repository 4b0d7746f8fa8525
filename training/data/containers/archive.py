"""Rows of an archive of texts and source files: one file after the other, within limits.

Nothing is written anywhere, and a path is a name and nothing else. What is not read is refused by
its path, with the reason.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from training.data.containers.languages import Kind, kind_of, language_of
from training.data.containers.limits import Limits
from training.data.containers.prose import (
    Division,
    not_text,
    refuse_division,
    source_rows,
    text_rows,
)
from training.data.containers.rows import Places, Rows, refused
from training.data.containers.source import Break, Source
from training.data.fields import printable, shortened
from training.data.records import Rejected
from training.errors import SourceUnreadable

__all__ = ["Archive", "Entry", "archive_rows"]

_SHOWN: Final = 5


class Entry(NamedTuple):
    """Something in an archive; folders are not given."""

    path: str
    problem: Break | None
    """Why it cannot be read."""
    opened: Callable[[], Source]


Archive: TypeAlias = Callable[[], Iterator[Entry]]
"""Goes through an archive from its beginning. An entry can be read until the next one is asked
for."""

_MARKS: Final = {
    "[Content_Types].xml": "a document of an office program",
    "META-INF/container.xml": "a book in EPUB",
    "content.xml": "a document of an office program",
}


def archive_rows(archive: Archive, limits: Limits, division: Division, places: Places) -> Rows:
    """The rows of all files that are text: `{"code", "language"}` where most files are source by
    their names, `{"text"}` otherwise. Lines are numbered through.

    `SourceUnreadable` where there is no text, too much to go through, or source that is to be cut.
    """
    as_code = _is_of_source(archive(), limits)
    if as_code:
        refuse_division(division, "this is source code, a record a file", whole_files=True)
    number = 1
    for entry in archive():
        places.begin(shortened(entry.path), number)
        source = _source(entry)
        if isinstance(source, Break):
            yield places.named(refused(number, *source))
            number += 1
            continue
        if as_code:
            language = language_of(entry.path)
            rows = source_rows(source, limits, language=language, first=number)
        else:
            is_source = kind_of(entry.path) is Kind.SOURCE
            cut = Division.WHOLE if is_source else division
            rows = text_rows(source, limits, cut, first=number)
        is_blank = True
        for row in rows:
            is_blank = False
            yield places.named(row) if isinstance(row, Rejected) else row
        if is_blank:
            yield places.named(refused(number, "ENTRY_EMPTY", "The file is blank."))
        number += source.line + 1


def _is_of_source(entries: Iterable[Entry], limits: Limits) -> bool:
    """Whether more of the files are source than prose."""
    kinds: Counter[Kind] = Counter()
    others: list[str] = []
    for count, entry in enumerate(entries, 1):
        if entry.path in _MARKS:
            raise SourceUnreadable("CONTAINER_UNKNOWN", f"it is {_MARKS[entry.path]}", _TEXTS)
        if count > limits.entries:
            message = f"the archive has more than {limits.entries:,} entries"
            raise SourceUnreadable("TOO_MANY_ENTRIES", message, "Send it in several archives.")
        kind = kind_of(entry.path)
        kinds[kind] += 1
        if kind in (Kind.DATA, Kind.ARCHIVE) and len(others) < _SHOWN:
            others.append(printable(entry.path))
    if not kinds[Kind.PROSE] + kinds[Kind.SOURCE] + kinds[Kind.UNKNOWN]:
        held = f"it has {', '.join(others)}" if others else "it is empty"
        raise SourceUnreadable("ARCHIVE_WITHOUT_TEXT", f"the archive has no text; {held}", _TEXTS)
    return kinds[Kind.SOURCE] > kinds[Kind.PROSE]


_TEXTS: Final = (
    "An archive is of texts or source files. Send JSONL, JSON, CSV or Parquet as they are, "
    "one file at a time."
)


def _by_name(path: str) -> Break | None:
    """Why a file with this path is not read."""
    if path.startswith("/") or "\\" in path or ".." in path.split("/"):
        return Break("ENTRY_PATH", "The path leaves the archive; the file was not read.")
    kind = kind_of(path)
    if kind is Kind.DATA:
        return Break("ENTRY_IS_DATA", "A file of records in an archive is not read; send it alone.")
    if kind is Kind.ARCHIVE:
        return Break("ENTRY_IS_ARCHIVE", "An archive within an archive is not read.")
    return None


def _source(entry: Entry) -> Source | Break:
    """The content of an entry, or why it is not read."""
    problem = entry.problem or _by_name(entry.path)
    if problem:
        return problem
    source = entry.opened()
    reason = not_text(source.stream.peek(1))
    return Break("ENTRY_NOT_TEXT", f"The file was not read: {reason}.") if reason else source
