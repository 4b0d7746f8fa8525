"""Our arm: `python -m benchmarks.export.ours FORMAT WEIGHT_TYPE MODEL FOLDER`.

Writes `FOLDER/files` as the export child does, without the proof that follows there.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

from benchmarks.export.measured import Stopwatch
from training.export.spec import ExportFormat, ExportSpec, WeightType
from training.lean_imports import lean_imports
from training.libraries import (
    imported_at_once,
    leave_out_bitsandbytes,
    leave_out_unused,
    prepare_environment,
    silence,
)


def main() -> None:
    """Write one export."""
    wanted, weight_type, model, folder = sys.argv[1:]
    spec = ExportSpec(
        version_path=model,
        model_path=model,
        adapter=False,
        format=ExportFormat(wanted),
        weight_type=WeightType(weight_type) if weight_type else None,
        model_name="Benchmark",
    )
    prepare_environment(model)
    leave_out_bitsandbytes()
    leave_out_unused()
    compiles = spec.format is ExportFormat.ONNX
    with imported_at_once(), nullcontext() if compiles else lean_imports(alone=True):
        silence()
        from training.export.making import EXPORTERS  # as `training.export.run` imports it
    files = Path(folder) / "files"
    files.mkdir()
    watch = Stopwatch()
    EXPORTERS[spec.format].write(spec, files)
    watch.write(Path(folder))


if __name__ == "__main__":
    main()
