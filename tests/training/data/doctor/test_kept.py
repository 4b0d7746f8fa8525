"""What is kept of records beside their report."""

from pathlib import Path

import numpy as np
import pytest

from training.config import DataType
from training.data.doctor.errors import ExaminationDamaged
from training.data.doctor.examination import examine
from training.data.doctor.kept import keep, kept_fingerprints, kept_marks

RECORDS = [
    {"question": "What is a river?", "answer": "Water on its way."},
    {"question": "What is a hill?", "answer": "Write to ann@example.org."},
    {"question": "What is a river?", "answer": "Water on its way."},
]


def test_what_was_found_of_each_record_is_read_as_it_was(tmp_path: Path) -> None:
    examination = examine(DataType.QA, enumerate(RECORDS, 1))
    keep(examination, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["examined.npz"]
    kept = (*kept_marks(tmp_path), *kept_fingerprints(tmp_path))
    made = (*examination.marks, *examination.fingerprints)
    for read, written in zip(kept, made, strict=True):
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    assert np.count_nonzero(kept_marks(tmp_path).bits) >= 2


def test_nothing_is_read_where_nobody_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        kept_marks(tmp_path)


def test_a_file_that_is_damaged_is_told_by_name(tmp_path: Path) -> None:
    keep(examine(DataType.QA, enumerate(RECORDS, 1)), tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        kept.write_bytes(content)
        for read in (kept_marks, kept_fingerprints):
            with pytest.raises(ExaminationDamaged):
                read(tmp_path)
