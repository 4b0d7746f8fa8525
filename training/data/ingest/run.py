"""The ingest child: `python -P -m training.data.ingest.run DATASET_DIR [--lifeline]`.

Reads `DATASET_DIR/ingest.json`, leaves `records.jsonl`, `rejected.jsonl` and `result.json`
(`{"result": IngestResult}` or `{"error": Failure}`), and tells its progress, 0 to 100, in the file
`progress`. Exit codes: 0 where there is a result file, 75 where another process works on the folder.
"""

import argparse
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from training.data.ingest.mapping import mapped
from training.data.ingest.source_file import SourceFile, opened
from training.data.ingest.spec import IngestResult, IngestSpec
from training.data.ingest.storing import store
from training.errors import SourceUnreadable
from training.files import write_whole
from training.locking import EXIT_BUSY, folder_lock
from training.outcomes import outcome_of
from training.progress.pulse import Pulse
from training.progress.stopping import on_lost_parent

__all__ = ["ingest", "main"]

TELL_SECONDS: Final = 0.25
LOOK_ROWS: Final = 64
"""The clock is looked at this often."""


def main(arguments: list[str] | None = None) -> int:
    """Make the records of one dataset; the exit code."""
    parser = argparse.ArgumentParser(prog="training.data.ingest.run", description="Take in a file.")
    parser.add_argument("dataset_dir", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: what is half made is made again
    with folder_lock(options.dataset_dir) as acquired:
        if not acquired:
            return EXIT_BUSY
        with Pulse(options.dataset_dir).while_busy():
            outcome = outcome_of(lambda: _ingest(options.dataset_dir))
        write_whole(options.dataset_dir / "result.json", outcome)
    return 0


def ingest(spec: IngestSpec, dataset_dir: Path) -> IngestResult:
    """Write the dataset's files. Raises `SourceUnreadable` or `NoRoomForDataset`, and then leaves
    none."""
    try:
        file = SourceFile(Path(spec.source.path))
    except FileNotFoundError:
        raise SourceUnreadable(
            "UPLOAD_GONE", "it is not there any more", "Send the file again."
        ) from None
    with file:
        container, compression, rows = opened(file)
        mapping, every = mapped(rows, spec.mapping, spec.data_type)
        result = store(
            *(every, mapping, dataset_dir),
            on_invalid=spec.on_invalid,
            container=container,
            came=_Teller(file, dataset_dir / "progress").look,
        )
    return result.model_copy(update={"compression": compression})


def _ingest(dataset_dir: Path) -> IngestResult:
    spec = IngestSpec.model_validate_json((dataset_dir / "ingest.json").read_bytes())
    return ingest(spec, dataset_dir)


class _Teller:
    """Tells, four times a second, how much of the file has been read."""

    def __init__(self, file: SourceFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._told = time.monotonic()
        self._rows = 0

    def look(self) -> None:
        """Tell where it is time."""
        self._rows += 1
        if self._rows % LOOK_ROWS == 0 and time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            partial = self._path.with_name(".progress.partial")
            with suppress(OSError):  # a full disk fails the records, not what is told of them
                partial.write_text(f"{self._file.percent:.2f}\n")
                partial.replace(self._path)


if __name__ == "__main__":
    sys.exit(main())
