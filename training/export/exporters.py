"""What each format brings: how it is written, how its files are asked, what they hold."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from training.export.spec import ExportSpec, StoredType

__all__ = ["Exporter", "Tensor", "tallied"]


class Exporter(Protocol):
    """A module for one format."""

    def write(self, spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
        """Write the version into an empty folder; the same version gives the same bytes.

        Weights are stored in the element type the base is stored in, unless the format or the spec
        says otherwise, and with `full_precision` in fp32. Raises `ExporterUnavailable`,
        `NotExportable`, `ModelUnreadable`.
        """

    def asker(self, spec: ExportSpec, folder: Path) -> list[str]:
        """The module, and its arguments, that asks the folder by the format's own runtime. A last
        argument is added: where `questions.json` lies and the `Answers` go."""

    def stored(self, folder: Path) -> tuple[StoredType, ...]:
        """What the weights are stored in, read from the files, most first."""


class Tensor(NamedTuple):
    """A tensor of a file, by what it takes up."""

    stored_as: str
    parameters: int
    size_bytes: int


def tallied(tensors: Iterable[Tensor]) -> tuple[StoredType, ...]:
    """Added up by what they are stored in, most parameters first."""
    count: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        count[tensor.stored_as] += 1
        parameters[tensor.stored_as] += tensor.parameters
        sizes[tensor.stored_as] += tensor.size_bytes
    return tuple(
        StoredType(name=name, tensors=count[name], parameters=number, size_bytes=sizes[name])
        for name, number in parameters.most_common()
    )
