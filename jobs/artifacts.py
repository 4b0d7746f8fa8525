"""Where things lie: the only place that makes a path, and none that leaves the root.

Files are written to a temporary name, synced and renamed: a reader sees a whole file or none.
"""

import os
import shutil
from pathlib import Path
from uuid import UUID, uuid4

__all__ = ["Artifacts"]


class Artifacts:
    """The artifact store under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def dataset(self, dataset_id: UUID) -> Path:
        """The folder of a dataset; its records are in `records.jsonl`."""
        return self.root / "datasets" / str(dataset_id)

    def records(self, dataset_id: UUID) -> Path:
        """The canonical records of a dataset, one JSON object a line."""
        return self.dataset(dataset_id) / "records.jsonl"

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
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)

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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
