"""An export from start to end: written, compared, named by checksum, and only then in place."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from transformers import AutoConfig

from training.errors import DiskFull, ParityFailed
from training.export import pytorch, safetensors
from training.export.bounds import Bounds, bounds_of
from training.export.errors import NoRoomForExport
from training.export.exporters import Exporter
from training.export.gguf import exporter as gguf
from training.export.gguf.architectures import GELU_FROM_TABLE
from training.export.onnx import folder as onnx
from training.export.parity import Trained, check_parity
from training.export.spec import (
    QUANTISED,
    ExportFile,
    ExportFormat,
    ExportResult,
    ExportSpec,
    Parity,
    StoredType,
    WeightType,
)
from training.files import MANIFEST, entries, remove_leftovers, sha256_of, whole_folder, write_whole
from training.models.sources import local_folder

__all__ = ["EXPORTERS", "make"]

EXPORTERS: Final[Mapping[ExportFormat, Exporter]] = {
    ExportFormat.SAFETENSORS: safetensors,
    ExportFormat.PYTORCH: pytorch,
    ExportFormat.ONNX: onnx,
    ExportFormat.GGUF: gguf,
}

_ROUNDED: Final = ("bfloat16", "float16", "BF16", "F16")


def make(spec: ExportSpec, export_dir: Path) -> ExportResult:
    """Make `export_dir/files`. Raises what `Exporter.write` raises, `ParityFailed` or
    `NoRoomForExport`, and then leaves no `files`."""
    try:
        return _made(spec, export_dir)
    except DiskFull as error:
        raise NoRoomForExport from error


def _made(spec: ExportSpec, export_dir: Path) -> ExportResult:
    exporter = EXPORTERS[spec.format]
    remove_leftovers(export_dir)
    files = export_dir / "files"
    _tell(export_dir, 5)
    with whole_folder(files) as folder:
        parity = _proved(exporter, spec, folder)
        stored = exporter.stored(folder)
        _tell(export_dir, 95)
    result = _result(spec, files, parity, stored)
    _tell(export_dir, 100)
    return result


def _proved(exporter: Exporter, spec: ExportSpec, folder: Path) -> Parity:
    """Write in what was asked for, or else in the base's element type; in fp32 where rounding to that
    would change the model."""
    trained = Trained(spec)
    if spec.weight_type in QUANTISED:
        return _proved_in_steps(trained, spec, folder)
    exporter.write(spec, folder)
    _tell(folder.parent, 50)
    try:
        return _parity(trained, exporter, spec, folder)
    except ParityFailed:
        if (
            spec.adapter_only
            or spec.weight_type
            or _dtype(spec, exporter.stored(folder)) not in _ROUNDED
        ):
            raise
    for path in folder.iterdir():
        path.unlink()
    exporter.write(spec, folder, full_precision=True)
    _tell(folder.parent, 75)
    return _parity(trained, exporter, spec, folder)


def _proved_in_steps(trained: Trained, spec: ExportSpec, folder: Path) -> Parity:
    """First the file that is quantised, within the bounds of fp32: then what the wide bounds of few bits
    let pass is no fault of ours that they hide."""
    whole = spec.model_copy(update={"weight_type": WeightType.F32})
    gguf.write(whole, folder)
    _tell(folder.parent, 40)
    _ = _parity(trained, gguf, whole, folder)
    gguf.quantise(spec, folder)
    _tell(folder.parent, 75)
    return _parity(trained, gguf, spec, folder)


def _parity(trained: Trained, exporter: Exporter, spec: ExportSpec, folder: Path) -> Parity:
    bounds = _bounds(spec, _dtype(spec, exporter.stored(folder)))
    asker = exporter.asker(spec, folder)
    with TemporaryDirectory(".partial", ".parity.", folder.parent) as scratch:
        return check_parity(trained, asker, scratch=Path(scratch), bounds=bounds)


def _bounds(spec: ExportSpec, dtype: str) -> Bounds:
    if spec.format is not ExportFormat.GGUF:
        return bounds_of(dtype)
    config = AutoConfig.from_pretrained(local_folder(spec.model_path), trust_remote_code=False)
    return bounds_of(dtype, gelu_from_table=config.model_type in GELU_FROM_TABLE)


def _result(
    spec: ExportSpec, files: Path, parity: Parity, stored: tuple[StoredType, ...]
) -> ExportResult:
    listed = entries(files)
    whole_bytes = 4 * safetensors.parameters_in(local_folder(spec.model_path))
    return ExportResult(
        size_bytes=sum(entry.size_bytes for entry in listed),
        compression_ratio=whole_bytes / sum(each.size_bytes for each in stored),
        dtype=_dtype(spec, stored),
        weights=stored,
        sha256=sha256_of(files / MANIFEST),
        files=tuple(ExportFile(**entry.model_dump()) for entry in listed),
        parity=parity,
    )


def _dtype(spec: ExportSpec, stored: tuple[StoredType, ...]) -> str:
    """What was asked for, or else what most parameters are stored in."""
    return spec.weight_type or stored[0].name


def _tell(export_dir: Path, percent: float) -> None:
    write_whole(export_dir / "progress", f"{percent}\n".encode())
