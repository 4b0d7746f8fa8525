"""The inspection child: `python -P -m training.data.ingest.inspection DIR [--await-word] [--lifeline]`.

Reads `DIR/inspection.json` and the beginning of the file it names, and leaves `DIR/result.json`
(`{"result": Inspection}` or `{"error": Failure}`). A process of its own, since what a stranger's file
does to its reader, in time, memory or by a crash, must touch nobody else.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from training.data.containers.rows import RawRow
from training.data.fields import shortened
from training.data.formats.conversion import Converter
from training.data.ingest.mapping import first_rows, mapped
from training.data.ingest.source_file import SourceFile, opened
from training.data.ingest.spec import InspectedRow, Inspection, InspectionSpec
from training.data.ingest.storing import left_out
from training.data.records import Rejected
from training.errors import TrainingError
from training.outcomes import outcome_of
from training.progress.stopping import on_lost_parent

__all__ = ["inspect", "main"]

SHOWN_ROWS: Final = 5
SHOWN_CHARACTERS: Final = 2000
"""Of each text in them."""
SHOWN_ITEMS: Final = 100
"""Of each list and object in them."""
SHOWN_DEPTH: Final = 12


def main(arguments: list[str] | None = None) -> int:
    """Look at one file; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.data.ingest.inspection", description="Look at a file."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    parser.add_argument("--await-word", action="store_true", help="begin at a line of input")
    options = parser.parse_args(arguments)
    if options.await_word and not os.read(sys.stdin.fileno(), 1):
        return 0  # whoever might have asked is gone
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: a look is taken again
    content = (options.folder / "inspection.json").read_bytes()
    outcome = outcome_of(lambda: inspect(InspectionSpec.model_validate_json(content)))
    (options.folder / "result.json").write_bytes(outcome)  # read once this process has ended
    return 0


def inspect(spec: InspectionSpec) -> Inspection:
    """What the file would be taken for; what cannot be told of it is its `problem`."""
    found = Inspection()
    with SourceFile(Path(spec.source.path)) as file:
        try:
            contents = opened(file, spec.source)
            found = Inspection(container=contents.container, compression=contents.compression)
            sample = list(first_rows(contents.rows))
            found = found.model_copy(
                update={
                    "sampled_rows": len(sample),
                    "rows": tuple(_shown_row(row) for row in sample[:SHOWN_ROWS]),
                    "rejected": tuple(row for row in sample if isinstance(row, Rejected)),
                }
            )
            mapping, _ = mapped(iter(sample), spec.mapping, None)
        except TrainingError as error:
            return found.model_copy(update={"problem": error.failure()})
    converter = Converter(mapping)
    converted = list(converter.records(iter(sample), contents.places))
    return found.model_copy(
        update={
            "mapping": mapping,
            "rows": tuple(_with_records(sample, converted)),
            "rejected": tuple(row for row in converted if isinstance(row, Rejected)),
            "left_out": left_out(converter),
        }
    )


def _with_records(
    sample: list[RawRow | Rejected], converted: list[tuple[int, dict[str, object]] | Rejected]
) -> Iterator[InspectedRow]:
    for row, became in zip(sample[:SHOWN_ROWS], converted, strict=False):
        shown = _shown_row(row)
        if isinstance(became, Rejected):
            yield shown.model_copy(update={"rejected": became})
        else:
            yield shown.model_copy(update={"record": _shown(became[1])})


def _shown_row(row: RawRow | Rejected) -> InspectedRow:
    if isinstance(row, Rejected):
        return InspectedRow(line=row.line, rejected=row)
    return InspectedRow(line=row.line, raw=_shown(row.value))


def _shown(value: object, depth: int = 0) -> object:
    """The value as JSON of bounded size, which any database and any client takes."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth == SHOWN_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:SHOWN_ITEMS]
        return {shortened(str(key)): _shown(item, depth + 1) for key, item in items}
    if isinstance(value, list | tuple):
        return [_shown(item, depth + 1) for item in value[:SHOWN_ITEMS]]
    text = value if isinstance(value, str) else repr(value)
    return shortened(text, SHOWN_CHARACTERS)


if __name__ == "__main__":
    sys.exit(main())
