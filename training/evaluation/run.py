"""The evaluation child: `python -P -m training.evaluation.run DIR [--lifeline]`.

Reads `DIR/evaluation.json`, leaves `predictions.jsonl` and `result.json` (`{"result":
EvaluationResult}` or `{"error": Failure}`), and tells its progress, 0 to 100, in the file
`progress`. Exit codes: 0 where there is a result file, 75 where another process works on the folder.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final

from training.evaluation.spec import EvaluationResult, EvaluationSpec
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

__all__ = ["main"]

TOLD_SECONDS: Final = 0.4
"""Between two words on how far it is."""


def main(arguments: list[str] | None = None) -> int:
    """Make one evaluation; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.evaluation.run", description="Evaluate a version."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: it is made again
    with folder_lock(options.folder) as acquired:
        if not acquired:
            return EXIT_BUSY
        with Pulse(options.folder).while_busy():
            outcome = outcome_of(lambda: _evaluated(options.folder))
        write_whole(options.folder / "result.json", outcome)
    return 0


def _evaluated(folder: Path) -> EvaluationResult:
    spec = EvaluationSpec.model_validate_json((folder / "evaluation.json").read_bytes())
    prepare_environment(spec.run.model_path)
    if not spec.run.config.needs_bitsandbytes:
        leave_out_bitsandbytes()
    leave_out_unused()
    with imported_at_once(), lean_imports(alone=True):
        silence()
        from training.evaluation.evaluating import evaluated  # torch and transformers, seconds

    last = -TOLD_SECONDS

    def tell(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TOLD_SECONDS:
            last = now
            write_whole(folder / "progress", f"{100 * share:.1f}\n".encode())

    with memory_failures_named():
        return evaluated(spec, folder, told=tell)


if __name__ == "__main__":
    sys.exit(main())
