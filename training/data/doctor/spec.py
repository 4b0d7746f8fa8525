"""What an examination child is told (`examination.json`)."""

from training.config import DataType, Frozen

__all__ = ["ExaminationSpec"]


class ExaminationSpec(Frozen):
    """The canonical records of one dataset."""

    path: str
    data_type: DataType
