"""A split of the hub on its way into a dataset: fetched, read, and not kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from training.data.fields import shortened
from training.data.hub.fetching import HubSplit, fetch
from training.data.ingest.errors import full_disk_named
from training.data.ingest.source_file import SourceFiles
from training.data.ingest.spec import HubSource
from training.data.ingest.telling import Teller
from training.progress.pulse import Pulse

__all__ = ["FETCHING_PERCENT", "fetched"]

FETCHING_PERCENT: Final = 50.0
"""How much of the work is done once the files are here: each byte comes, and is read."""
_FOLDER: Final = ".hub.partial"
"""Hidden so that it goes with what a killed writer left."""


@contextmanager
def fetched(
    wanted: HubSource, dataset_dir: Path, teller: Teller
) -> Iterator[tuple[SourceFiles, HubSource]]:
    """The files of a split, which are gone after the block, and what was found to be fetched.

    Raises `HubUnavailable` and `NoRoomForDataset`.
    """
    folder = dataset_dir / _FOLDER
    pulse = Pulse(dataset_dir)

    def progress(done: int, total: int) -> None:
        pulse.beat()  # a slow line is no hung process
        teller.tell(FETCHING_PERCENT * done / max(1, total))

    split = HubSplit(wanted.id, wanted.split, wanted.config, wanted.revision)
    try:
        with full_disk_named():
            found = fetch(split, folder, max_bytes=wanted.max_bytes, progress=progress)
        known = {
            "config": shortened(found.config),  # a stranger's word, which is to be stored
            "commit": found.commit,
            "is_partial": found.is_partial,
        }
        files = SourceFiles(list(zip(found.names, found.paths, strict=True)))
        yield files, wanted.model_copy(update=known)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
