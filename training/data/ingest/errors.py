"""What keeps a file that can be read from being stored."""

from training.errors import TrainingError

__all__ = ["NoRoomForDataset"]


class NoRoomForDataset(TrainingError):
    """The disk has no room for a dataset's records; what was written of them is gone again."""

    def __init__(self) -> None:
        super().__init__(
            "DISK_FULL",
            "The disk is full: the records could not be written, and nothing of them was kept.",
            "Free some space and make the dataset again; the upload is still there.",
        )
