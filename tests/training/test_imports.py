"""Other floors import these modules; none may bring torch along."""

import subprocess
import sys
from pathlib import Path

TORCH_FREE = (
    "training.compatibility",
    "training.config",
    "training.early_stopping",
    "training.errors",
    "training.event_log",
    "training.events",
    "training.export.run",
    "training.export.spec",
    "training.facts",
    "training.findings",
    "training.inspection",
    "training.locking",
    "training.pulse",
    "training.records",
    "training.requests",
    "training.retention",
    "training.run",
    "training.schedule",
    "training.scores",
    "training.state",
    "training.time_left",
    "training.validation",
)


def test_the_plain_modules_do_not_import_torch() -> None:
    script = (
        f"import sys, {', '.join(TORCH_FREE)}\n"
        "print([name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stdout.strip() == "[]"
