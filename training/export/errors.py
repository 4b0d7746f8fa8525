"""Why a version cannot be written in a format, beside what `training.errors` has."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from training.errors import TrainingError
from training.export.spec import NEEDED_PACKAGES, ExportFormat

__all__ = [
    "ExporterUnavailable",
    "NoRoomForExport",
    "NotExportable",
    "available_formats",
    "require",
    "short_writes_named",
]


class ExporterUnavailable(TrainingError):
    """The libraries that write or load a format are not installed where the export is made."""

    def __init__(self, wanted: ExportFormat, missing: Sequence[str]) -> None:
        super().__init__(
            "EXPORTER_UNAVAILABLE",
            f"{wanted} needs {', '.join(missing)}, which the worker does not have.",
            f"Install tunery[{wanted.lower()}] in the worker's environment, or choose another format.",
        )


class NotExportable(TrainingError):
    """A format has no way to express the model."""

    def __init__(self, wanted: ExportFormat, architecture: str, reason: str) -> None:
        super().__init__(
            "NOT_EXPORTABLE",
            f"{architecture} cannot be written as {wanted}: {reason}.",
            "Choose another format; SAFETENSORS takes every model.",
        )


class NoRoomForExport(TrainingError):
    """The disk has no room for the files, or for the answers that prove them; neither was kept."""

    def __init__(self) -> None:
        super().__init__(
            "DISK_FULL",
            "The disk is full: the export could not be written, and nothing of it was kept.",
            "Free some space where the worker keeps its artifacts, and export again.",
        )


def require(wanted: ExportFormat) -> None:
    """Raise `ExporterUnavailable` unless all that a format needs can be imported."""
    if missing := _missing(wanted):
        raise ExporterUnavailable(wanted, missing)


def available_formats() -> tuple[ExportFormat, ...]:
    """The formats that can be written with what is installed here."""
    return tuple(wanted for wanted in ExportFormat if not _missing(wanted))


def _missing(wanted: ExportFormat) -> list[str]:
    return [name for name in NEEDED_PACKAGES.get(wanted, ()) if find_spec(name) is None]


@contextmanager
def short_writes_named() -> Iterator[None]:
    """Take a full disk for the cause where numpy, which does not say why, could not write a tensor."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(errno.ENOSPC, str(error)) from error
        raise
