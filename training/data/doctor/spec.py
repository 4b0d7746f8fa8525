"""What the children that examine a dataset are told, and where the one leaves what it keeps."""

from typing import Final

from training.config import DataType, Frozen, TrainOn

__all__ = ["KEPT", "ExaminationSpec", "TokenExaminationSpec"]

KEPT: Final = "examined.npz"
"""The file of what was found of each record."""


class ExaminationSpec(Frozen):
    """The canonical records of one dataset (`examination.json`)."""

    path: str
    data_type: DataType


class TokenExaminationSpec(ExaminationSpec):
    """The same, and how a run would make rows of tokens of them (`token_examination.json`)."""

    sha256: str
    """Of the file of records."""
    model_path: str
    """A local folder or a hub id."""
    chat_template: str | None
    train_on: TrainOn
    max_sequence_length: int
