"""What strategies would do to a dataset's records, told without a dataset being made."""

from collections.abc import Iterator, Sequence
from typing import Final

import typer

from api.cli.output import print_json
from api.client.record import Record
from api.client.reports import DataOutcome

__all__ = ["Foretold", "on_lines", "tell_outcomes"]

SHOWN_LINES: Final = 10


class Foretold(Record):
    """What the strategies would do about what was found in the records, and in their tokens; null
    where none is about that."""

    records: DataOutcome | None
    tokens: DataOutcome | None


def tell_outcomes(told: Foretold, *, as_json: bool) -> None:
    """Print what would stay, what would be left out, and what would refuse all."""
    outcomes = [each for each in (told.records, told.tokens) if each is not None]
    if as_json:
        print_json(outcomes[0] if len(outcomes) == 1 else told)
        return
    for outcome in outcomes:
        if len(outcomes) > 1:
            typer.echo(_OF_RECORDS if outcome is told.records else _OF_TOKENS)
        for line in _lines(outcome):
            typer.echo(line)


_OF_RECORDS: Final = "by what is in the records:"
_OF_TOKENS: Final = "by what is in their tokens, where a record may be counted once more:"


def _lines(found: DataOutcome) -> Iterator[str]:
    yield f"{found.kept} would stay, {found.dropped.count} would be left out"
    for reason in found.dropped.reasons:
        yield f"  {reason.count} for {reason.finding}"
    if found.dropped.count:
        yield f"  {on_lines(found.dropped.count, found.dropped.lines)}"
    for each in found.refused:
        yield f"  {each.finding} would refuse all: {each.count} {on_lines(each.count, each.lines)}"


def on_lines(count: int, lines: Sequence[int]) -> str:
    """On which lines so many records are, the first of them."""
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = ", …" if count > SHOWN_LINES else ""
    return f"on {'line' if count == 1 else 'lines'} {shown}{more}"
