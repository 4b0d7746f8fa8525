"""What keeps a file that can be read, or a dataset that is there, from being made a dataset."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from training.errors import TrainingError

__all__ = [
    "DatasetGone",
    "NoRoomForDataset",
    "NothingChanged",
    "NothingLeft",
    "RecordOutdated",
    "full_disk_named",
]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoomForDataset(TrainingError):
    """The disk has no room for a dataset's records; what was written of them is gone again."""

    def __init__(self) -> None:
        super().__init__(
            "DISK_FULL",
            "The disk is full: the records could not be written, and nothing of them was kept.",
            "Free some space and make the dataset again; an upload is still there.",
        )


class DatasetGone(TrainingError):
    """A dataset that another was to be made of is not there any more."""

    def __init__(self) -> None:
        super().__init__(
            "DATASET_GONE",
            "The dataset whose records were to be taken is not there any more.",
            "Derive it from another dataset.",
        )


class RecordOutdated(TrainingError):
    """The rules for records were other ones when the dataset was made."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(
            "RECORDS_OUTDATED",
            f"The record on line {line} of the dataset is no longer valid: {reason}",
            "Remove it by its line; or download the records, mend them, and make a dataset of them.",
        )


class NothingChanged(TrainingError):
    """What was to be derived is what there is."""

    def __init__(self) -> None:
        super().__init__(
            "NOTHING_CHANGED",
            "Nothing is removed and nothing added.",
            "Name what to remove, or add valid records; or use the dataset as it is.",
        )


class NothingLeft(TrainingError):
    """Every record was to be removed, and none to be added."""

    def __init__(self, records: int) -> None:
        super().__init__(
            "EMPTY_DATASET",
            f"All {records} records would be removed.",
            "Keep at least one record, or add one.",
        )


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Turn the ways a full disk shows itself into `NoRoomForDataset`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoomForDataset from error
        raise
