"""The ingest child: `python -P -m training.data.ingest.run DATASET_DIR [--lifeline]`.

Reads `DATASET_DIR/ingest.json`, fetches a split of the hub or derives from a dataset where it names one, leaves `records.jsonl`, `rejected.jsonl` and `result.json`
(`{"result": IngestResult}` or `{"error": Failure}`), and tells its progress, 0 to 100, in the file
`progress`. Exit codes: 0 where there is a result file, 75 where another process works on the folder.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from training.data.ingest.derived import derive
from training.data.ingest.mapping import mapped
from training.data.ingest.source_file import Opened, SourceFile, opened
from training.data.ingest.spec import DerivedSource, FileSource, IngestResult, IngestSpec
from training.data.ingest.storing import store
from training.files import write_whole
from training.locking import EXIT_BUSY, folder_lock
from training.outcomes import outcome_of
from training.progress.pulse import Pulse
from training.progress.stopping import on_lost_parent
from training.progress.telling import Teller

__all__ = ["ingest", "main"]


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
    """Write the dataset's files. Raises `SourceUnreadable`, `HubUnavailable`, `NoRoomForDataset`, or what
    `derive` raises, and then leaves none."""
    teller = Teller(dataset_dir / "progress")
    if isinstance(spec.source, FileSource):
        return _of_file(spec, spec.source, dataset_dir, teller)
    if isinstance(spec.source, DerivedSource):
        return derive(spec, spec.source, dataset_dir, teller)
    from training.data.ingest.hub_files import FETCHING_PERCENT, fetched  # 0.1 s, for the hub alone

    with fetched(spec.source, dataset_dir, teller) as (files, hub):
        reading = (100 - FETCHING_PERCENT) / 100
        stored = _stored(
            *(spec, files.opened(), dataset_dir),
            came=lambda: teller.came(lambda: FETCHING_PERCENT + reading * files.percent),
        )
        return stored.model_copy(update={"hub": hub, "source_bytes": files.size_bytes})


def _of_file(
    spec: IngestSpec, source: FileSource, dataset_dir: Path, teller: Teller
) -> IngestResult:
    with SourceFile(Path(source.path)) as file:
        return _stored(
            *(spec, opened(file, source), dataset_dir),
            came=lambda: teller.came(lambda: file.percent),
        )


def _stored(
    spec: IngestSpec, found: Opened, dataset_dir: Path, *, came: Callable[[], None]
) -> IngestResult:
    mapping, every = mapped(found.rows, spec.mapping, spec.data_type)
    return store(every, mapping, dataset_dir, on_invalid=spec.on_invalid, contents=found, came=came)


def _ingest(dataset_dir: Path) -> IngestResult:
    spec = IngestSpec.model_validate_json((dataset_dir / "ingest.json").read_bytes())
    return ingest(spec, dataset_dir)


if __name__ == "__main__":
    sys.exit(main())
