"""The export child: `python -P -m training.export.run EXPORT_DIR [--lifeline]`.

Reads `EXPORT_DIR/export.json`, leaves `files/` and `result.json` (`{"result": ExportResult}` or
`{"error": Failure}`), and tells its progress, 0 to 100, in the file `progress`. Exit codes: 0 where
there is a result file, 75 where another process works on the folder.
"""

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from training.export.spec import ExportFormat, ExportResult, ExportSpec
from training.files import write_whole
from training.lean_imports import lean_imports
from training.libraries import (
    imported_at_once,
    leave_out_bitsandbytes,
    leave_out_unused,
    memory_failures_named,
    prepare_environment,
    silence,
)
from training.locking import EXIT_BUSY, folder_lock
from training.outcomes import outcome_of
from training.progress.pulse import Pulse
from training.progress.stopping import on_lost_parent


def main(arguments: list[str] | None = None) -> int:
    """Make one export; the exit code."""
    parser = argparse.ArgumentParser(prog="training.export.run", description="Export a version.")
    parser.add_argument("export_dir", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: a half-made export is made again
    with folder_lock(options.export_dir) as acquired:
        if not acquired:
            return EXIT_BUSY
        with Pulse(options.export_dir).while_busy():
            outcome = outcome_of(lambda: _export(options.export_dir))
        write_whole(options.export_dir / "result.json", outcome)
    return 0


def _export(export_dir: Path) -> ExportResult:
    spec = ExportSpec.model_validate_json((export_dir / "export.json").read_bytes())
    prepare_environment(spec.model_path)
    with imported_at_once(), nullcontext() if "torch" in sys.modules else _without_unused(spec):
        silence()
        from training.export import making  # torch and transformers, seconds of imports

    with memory_failures_named():
        return making.make(spec, export_dir)


def _without_unused(spec: ExportSpec) -> AbstractContextManager[None]:
    """Leave out, for the whole of this process, what no export of this kind imports."""
    if not spec.quantised:
        leave_out_bitsandbytes()
    leave_out_unused()
    compiles = spec.format is ExportFormat.ONNX  # its exporter is a part of torch's compiler
    return nullcontext() if compiles else lean_imports(alone=True)


if __name__ == "__main__":
    sys.exit(main())
