"""A split of the hub on its way into a dataset: fetched, read, and not kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from training.data.fields import shortened
from training.data.hub.fetching import fetch
from training.data.hub.plan import HubSplit
from training.data.ingest.errors import full_disk_named
from training.data.ingest.source_file import SourceFiles
from training.data.ingest.spec import HubDownload, HubSource
from training.progress.pulse import Pulse
from training.progress.telling import Teller

__all__ = ["FETCHING_PERCENT", "fetched"]

FETCHING_PERCENT: Final = 50.0
"""How much of the work is done once the files are here: each byte comes, and is read."""


@contextmanager
def fetched(
    download: HubDownload, dataset_dir: Path, teller: Teller
) -> Iterator[tuple[SourceFiles, HubSource]]:
    """The files of a split, which are gone after the block, and what was found to be fetched.

    They stay only where the process is killed: the next one goes on from there. Raises
    `HubUnavailable` and `NoRoomForDataset`.
    """
    wanted, folder = download.wanted, Path(download.folder)
    pulse = Pulse(dataset_dir)

    def progress(done: int, total: int) -> None:
        pulse.beat()  # a slow line is no hung process
        teller.tell(FETCHING_PERCENT * done / max(1, total))

    split = HubSplit(wanted.id, wanted.split, wanted.config, wanted.revision)
    try:
        with full_disk_named():
            found = fetch(split, folder, max_bytes=wanted.max_bytes, progress=progress)
        known = {
            "config": shortened(found.plan.config),  # a stranger's word, which is to be stored
            "commit": found.plan.commit,
            "is_partial": found.plan.is_partial,
        }
        names = [file.name for file in found.plan.files]
        files = SourceFiles(list(zip(names, found.paths, strict=True)))
        yield files, wanted.model_copy(update=known)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
