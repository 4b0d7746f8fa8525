"""An export from start to end: written, compared, named by checksum, and only then in place."""

import tempfile
from pathlib import Path

from training.errors import ParityFailed
from training.export import safetensors
from training.export.parity import EXACT, ROUNDED, check_parity
from training.export.spec import ExportFile, ExportResult, ExportSpec, Parity
from training.files import MANIFEST, entries, remove_leftovers, sha256_of, whole_folder, write_whole
from training.models.sources import local_folder
from training.models.weights import stored_weights


def make(spec: ExportSpec, export_dir: Path) -> ExportResult:
    """Make `export_dir/files`. Raises `ParityFailed`, `ModelUnreadable` or `DiskFull`, and then
    leaves no `files`."""
    remove_leftovers(export_dir)
    files = export_dir / "files"
    _tell(export_dir, 5)
    with whole_folder(files) as folder:
        parity = _proved(spec, folder, export_dir)
        _tell(export_dir, 95)
    result = _result(files, parity, base=local_folder(spec.model_path))
    _tell(export_dir, 100)
    return result


def _proved(spec: ExportSpec, folder: Path, export_dir: Path) -> Parity:
    """Write in the base's element type; in fp32 where rounding to it would change the model."""
    safetensors.write(spec, folder)
    _tell(export_dir, 50)
    try:
        return _parity(spec, folder, export_dir)
    except ParityFailed:
        if spec.adapter_only or stored_weights(folder).dtype == "float32":
            raise
    for path in folder.iterdir():
        path.unlink()
    safetensors.write(spec, folder, full_precision=True)
    _tell(export_dir, 75)
    return _parity(spec, folder, export_dir)


def _parity(spec: ExportSpec, folder: Path, export_dir: Path) -> Parity:
    rounded = stored_weights(folder).dtype == "bfloat16"
    with tempfile.TemporaryDirectory(dir=export_dir, prefix=".parity.") as scratch:
        return check_parity(
            spec, folder, scratch=Path(scratch), bounds=ROUNDED if rounded else EXACT
        )


def _result(files: Path, parity: Parity, *, base: Path) -> ExportResult:
    listed = entries(files)
    whole_bytes = 4 * safetensors.parameters_in(base)
    return ExportResult(
        size_bytes=sum(entry.size_bytes for entry in listed),
        compression_ratio=whole_bytes / stored_weights(files).size_bytes,
        dtype=stored_weights(files).dtype,
        sha256=sha256_of(files / MANIFEST),
        files=tuple(ExportFile(**entry.model_dump()) for entry in listed),
        parity=parity,
    )


def _tell(export_dir: Path, percent: float) -> None:
    write_whole(export_dir / "progress", f"{percent}\n".encode())
