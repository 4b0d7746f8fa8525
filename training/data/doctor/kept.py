"""What was found of each record, or row, kept beside the report: who acts on it need not read them again."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.errors import ExaminationDamaged
from training.data.doctor.fingerprints import Fingerprints
from training.data.doctor.marks import Marks
from training.data.doctor.spec import KEPT
from training.files import whole_file

if (
    TYPE_CHECKING
):  # what tells languages takes a fifth of a second to load, and none of it is read here
    from training.data.doctor.examination import Examination

__all__ = ["keep", "keep_marks", "kept_fingerprints", "kept_marks"]


def keep(examination: "Examination", folder: Path) -> None:
    """Write some 100 bytes for each record. Raises `DiskFull`."""
    _write(folder, examination.marks._asdict() | examination.fingerprints._asdict())


def keep_marks(marks: Marks, folder: Path) -> None:
    """Write twelve bytes for each row. Raises `DiskFull`."""
    _write(folder, marks._asdict())


def kept_marks(folder: Path) -> Marks:
    """What each record was found with. `FileNotFoundError` where nobody has looked,
    `ExaminationDamaged`."""
    return Marks(*_read(folder, Marks._fields))


def kept_fingerprints(folder: Path) -> Fingerprints:
    """What records are compared by. `FileNotFoundError` where nobody has looked,
    `ExaminationDamaged`."""
    return Fingerprints(*_read(folder, Fingerprints._fields))


def _write(folder: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    with whole_file(folder / KEPT) as path, path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _read(folder: Path, names: Iterable[str]) -> Iterator[NDArray[Any]]:
    try:
        with (folder / KEPT).open("rb") as file, np.load(file) as kept:
            yield from [kept[name] for name in names]
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise ExaminationDamaged(str(error).rstrip(".")) from error
