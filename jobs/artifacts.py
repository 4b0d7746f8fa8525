"""Where things lie: the only place that makes a path, and none that leaves the root.

Files are written to a temporary name, synced and renamed: a reader sees a whole file or none.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from training.data.ingest.spec import RECORDS, REJECTED

__all__ = ["Artifacts", "sync_folder"]


class Artifacts:
    """The artifact store under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def dataset(self, dataset_id: UUID) -> Path:
        """The folder of a dataset; its records are in `records.jsonl`."""
        return self.root / "datasets" / str(dataset_id)

    def records(self, dataset_id: UUID) -> Path:
        """The canonical records of a dataset, one JSON object a line."""
        return self.dataset(dataset_id) / RECORDS

    def rejected(self, dataset_id: UUID) -> Path:
        """The rows of a dataset's source that were not taken, where there are any."""
        return self.dataset(dataset_id) / REJECTED

    def digests(self, dataset_id: UUID) -> Path:
        """The digests of a dataset's records, once they were asked for."""
        return self.dataset(dataset_id) / "digests"

    def examination(self, dataset_id: UUID) -> Path:
        """The folder in which a dataset is examined: not its own, which an attempt would empty."""
        return self.root / "examinations" / str(dataset_id)

    def token_examination(self, examination_id: UUID) -> Path:
        """The folder in which a dataset is examined in tokens."""
        return self.root / "token-examinations" / str(examination_id)

    def download(self, dataset_id: UUID) -> Path:
        """The folder in which a hub dataset's files gather: not its own, which an attempt would empty."""
        return self.root / "downloads" / str(dataset_id)

    def download_folders(self) -> dict[UUID, Path]:
        """The folders of all downloads that there are, by the dataset."""
        return {UUID(folder.name): folder for folder in (self.root / "downloads").glob("*-*")}

    def upload(self, upload_id: UUID) -> Path:
        """The folder of an upload; the file in it is `content` once it is whole."""
        return self.root / "uploads" / str(upload_id)

    def uploaded(self, upload_id: UUID) -> Path:
        """The whole file of an upload that is READY."""
        return self.upload(upload_id) / "content"

    def upload_folders(self) -> dict[UUID, Path]:
        """The folders of all uploads that there are, by the upload."""
        return {UUID(folder.name): folder for folder in (self.root / "uploads").glob("*-*")}

    def job(self, job_id: UUID) -> Path:
        """The folder in which a training job's child works."""
        return self.root / "jobs" / str(job_id)

    def checkpoints(self, job_id: UUID) -> Path:
        """The folder of a training job's checkpoints, one folder each."""
        return self.job(job_id) / "checkpoints"

    def model_check(self, model_id: UUID) -> Path:
        """The folder in which a registered model is looked at."""
        return self.root / "models" / str(model_id)

    def export(self, export_id: UUID) -> Path:
        """The folder of an export; what is offered lies in `files/`."""
        return self.root / "exports" / str(export_id)

    def evaluation(self, evaluation_id: UUID) -> Path:
        """The folder of an evaluation, with its predictions."""
        return self.root / "evaluations" / str(evaluation_id)

    def relative(self, path: Path) -> str:
        """The path as stored in the database: relative to the root, whatever machine reads it."""
        return path.relative_to(self.root).as_posix()

    def resolve(self, stored: str) -> Path:
        """The place that a stored path names.

        Raises `ValueError` where it would lie outside the root.
        """
        path = (self.root / stored).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"{stored!r} leads out of the artifact store")
        return path

    def write(self, path: Path, content: bytes) -> None:
        """Put a whole file in place, or leave what was there."""
        with self.writing(path) as file:
            file.write(content)

    @contextmanager
    def writing(self, path: Path) -> Iterator[BinaryIO]:
        """A file that is put in place once the block ends well; until then what was there stays."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    def remove_in_use(self, folder: Path) -> int:
        """Delete a folder into which a process may be writing, which then fails; the bytes freed."""
        hidden = folder.with_name(f".{folder.name}.removed")
        try:
            folder.rename(hidden)
        except FileNotFoundError:
            return 0
        return self.remove(hidden)

    def remove(self, folder: Path) -> int:
        """Delete a folder of the store, if it is there; the bytes that this freed."""
        place, root = folder.resolve(), self.root.resolve()
        if not place.is_relative_to(root) or place == root:
            raise ValueError(f"{folder} is not a folder inside the artifact store")
        if not folder.exists():
            return 0
        freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder)
        return freed


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
