"""What keeps a file that can be read from being stored."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from training.errors import TrainingError

__all__ = ["NoRoomForDataset", "full_disk_named"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoomForDataset(TrainingError):
    """The disk has no room for a dataset's records; what was written of them is gone again."""

    def __init__(self) -> None:
        super().__init__(
            "DISK_FULL",
            "The disk is full: the records could not be written, and nothing of them was kept.",
            "Free some space and make the dataset again; an upload is still there.",
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
