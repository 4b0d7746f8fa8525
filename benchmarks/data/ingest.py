"""Our arm of ingest: `python -m benchmarks.data.ingest FOLDER SOURCE`.

A file of unknown format becomes canonical JSONL. Leaves `figures.json` in the folder; what proves the
work is computed after it was timed.
"""

import sys
from pathlib import Path

from benchmarks.data.measured import Stopwatch, lines_proof
from training.data.containers.reading import open_contents
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.records import Rejected, canonical_line


def main() -> None:
    """Read, convert, and write."""
    folder, source = map(Path, sys.argv[1:])
    watch = Stopwatch()
    with source.open("rb") as file, (folder / "records.jsonl").open("wb") as written:
        mapping = detect(open_contents(file).rows)
        file.seek(0)
        for row in Converter(mapping).records(open_contents(file).rows):
            if isinstance(row, Rejected):
                raise SystemExit(f"{row.line}: {row.message}")
            written.write(canonical_line(row[1]))
    watch.stop()
    with (folder / "records.jsonl").open("rb") as file:
        watch.write(folder, **lines_proof(file))


if __name__ == "__main__":
    main()
