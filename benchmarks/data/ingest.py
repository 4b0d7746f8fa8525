"""Our arm of ingest: `python -m benchmarks.data.ingest FOLDER SOURCE`.

A file of unknown format becomes a dataset, as the ingest child makes one: canonical JSONL and
statistics. Leaves `figures.json` in the folder; what proves the work is computed after it was timed.
"""

import sys
from pathlib import Path

from benchmarks.data.measured import Stopwatch, lines_proof
from training.data.ingest.run import ingest
from training.data.ingest.spec import RECORDS, FileSource, IngestSpec


def main() -> None:
    """Take the file in."""
    folder, source = map(Path, sys.argv[1:])
    watch = Stopwatch()
    result = ingest(IngestSpec(source=FileSource(path=str(source), name=source.name)), folder)
    watch.stop()
    if result.rejected_count:
        raise SystemExit(f"{result.rejected_count} rows were not taken")
    with (folder / RECORDS).open("rb") as file:
        watch.write(folder, **lines_proof(file))


if __name__ == "__main__":
    main()
