"""What an examination child is told (`examination.json`), and where it leaves what it keeps."""

from typing import Final

from training.config import DataType, Frozen

__all__ = ["KEPT", "ExaminationSpec"]

KEPT: Final = "examined.npz"
"""The file of what was found of each record."""


class ExaminationSpec(Frozen):
    """The canonical records of one dataset."""

    path: str
    data_type: DataType
