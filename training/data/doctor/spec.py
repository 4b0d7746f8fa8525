"""What an examination child is told (`examination.json`), and what it leaves beside its answer."""

from typing import Final

from training.config import DataType, Frozen

__all__ = ["EXAMINED", "ExaminationSpec"]

EXAMINED: Final = "examined.npz"
"""What was found of each record, and what it is compared by."""


class ExaminationSpec(Frozen):
    """The canonical records of one dataset."""

    path: str
    data_type: DataType
