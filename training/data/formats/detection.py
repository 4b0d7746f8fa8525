"""Which format a file's rows have, from the first of them."""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from training.data.containers.rows import RawRow
from training.data.fields import printable
from training.data.formats.mapping import Mapping
from training.data.formats.shapes import SHAPES, Format, Part, Shape, matching, resolved
from training.data.formats.turns import is_sharegpt
from training.data.records import Rejected
from training.errors import SourceUnreadable

__all__ = ["SAMPLED_ROWS", "Fit", "detect", "fits"]

SAMPLED_ROWS: Final = 100
MAX_COLUMNS: Final = 1000


class Fit(NamedTuple):
    """A format that a row has, and the columns it is told by."""

    shape: Shape
    parts: dict[Part, list[str]]

    @property
    def format(self) -> Format:
        """The format's name."""
        return self.shape.format

    def described(self) -> str:
        """The format and its columns, for people."""
        names = [printable(name) for found in self.parts.values() for name in found]
        return f"{self.format} ({', '.join(names)})"


def detect(rows: Iterable[RawRow | Rejected], wanted: Format | None = None) -> Mapping:
    """The mapping that the first `SAMPLED_ROWS` have in common; all other columns are `ignored`.

    With `wanted` the other formats are not considered. `SourceUnreadable`, naming the formats and
    columns, where no format fits, or several do, or two columns go by names of one part.
    """
    sample = [
        (row.line, row.value)
        for row in islice(rows, SAMPLED_ROWS)
        if isinstance(row, RawRow) and isinstance(row.value, dict)
    ]
    columns = list(dict.fromkeys(name for _, row in sample for name in row))[:MAX_COLUMNS]
    fit = _common(sample, columns, wanted)
    mapped = {part: _only(part, found) for part, found in fit.parts.items()}
    for part, known in fit.shape.optional.items():
        if found := [name for name in matching(columns, known) if name not in mapped.values()]:
            mapped[part] = found[0]
    others = [name for name in columns if name not in mapped.values()]
    ignored = tuple(
        name for name in others if name.isprintable()
    )  # no other can be stored and shown
    return Mapping(format=fit.format, columns=mapped, ignored=ignored)


def fits(row: dict[str, object], left_out: frozenset[str] = frozenset()) -> list[Fit]:
    """Every format that a row has by its columns that hold something, but for those left out."""
    names = [name for name, value in row.items() if value is not None and name not in left_out]
    found = []
    for shape in SHAPES:
        parts = resolved(shape, names)
        if parts and (Part.MESSAGES not in parts or _is_turns(shape, row, parts)):
            found.append(Fit(shape, parts))
    return found


def _is_turns(shape: Shape, row: dict[str, object], parts: dict[Part, list[str]]) -> bool:
    """Whether a list of turns has the keys of the one shape and not of the other."""
    kept = [
        name
        for name in parts[Part.MESSAGES]
        if is_sharegpt(row[name]) is (shape.format is Format.SHAREGPT)
    ]
    parts[Part.MESSAGES] = kept
    return bool(kept)


def _common(
    sample: list[tuple[int, dict[str, object]]], columns: list[str], wanted: Format | None
) -> Fit:
    """The one format of the sample."""
    first: tuple[int, Fit] | None = None
    for line, row in sample:
        found = [fit for fit in fits(row) if wanted in (None, fit.format)]
        if len({fit.format for fit in found}) > 1:
            described = " and ".join(fit.described() for fit in found)
            raise _undecided("FORMAT_AMBIGUOUS", f"row {line} fits {described}")
        if not found:
            continue
        if first is None:
            first = (line, found[0])
        elif first[1].format is not found[0].format:
            one, other = first[1].described(), found[0].described()
            raise _undecided("FORMATS_MIXED", f"row {first[0]} is {one} and row {line} is {other}")
    if first is None:
        shown = ", ".join(printable(name) for name in columns[:20]) or "none"
        raise SourceUnreadable(
            "FORMAT_UNKNOWN",
            f"its columns fit {wanted or 'no format'}; they are {shown}",
            "Send a mapping that says which column plays which part.",
        )
    return first[1]


def _only(part: Part, found: list[str]) -> str:
    if len(found) > 1:
        names = " and ".join(printable(name) for name in found)
        raise _undecided("COLUMN_AMBIGUOUS", f"the columns {names} may each be {part}")
    return found[0]


def _undecided(code: str, reason: str) -> SourceUnreadable:
    remedy = "Send a mapping with what is meant; name the other columns under ignored."
    return SourceUnreadable(code, reason, remedy)
