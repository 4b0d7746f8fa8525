"""Why a version cannot be written in a format, beside what `training.errors` has."""

from collections.abc import Sequence
from importlib.util import find_spec

from training.errors import TrainingError
from training.export.spec import ExportFormat

__all__ = ["ExporterUnavailable", "NoRoomForExport", "NotExportable", "require"]


class ExporterUnavailable(TrainingError):
    """The libraries that write or load a format are not installed where the export is made."""

    def __init__(self, wanted: ExportFormat, missing: Sequence[str], extra: str) -> None:
        super().__init__(
            "EXPORTER_UNAVAILABLE",
            f"{wanted} needs {', '.join(missing)}, which the worker does not have.",
            f"Install tunery[{extra}] in the worker's environment, or choose another format.",
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


def require(wanted: ExportFormat, packages: Sequence[str], *, extra: str) -> None:
    """Raise `ExporterUnavailable` unless all of these can be imported."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ExporterUnavailable(wanted, missing, extra)
