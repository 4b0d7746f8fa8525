"""Other floors import these modules; none may bring torch, or a table's libraries, along."""

import subprocess
import sys
from pathlib import Path

TORCH_FREE = (
    "training.compatibility",
    "training.config",
    "training.steps.early_stopping",
    "training.errors",
    "training.event_log",
    "training.estimates",
    "training.events",
    "training.export.run",
    "training.export.spec",
    "training.models.facts",
    "training.findings",
    "training.models.inspection",
    "training.memory.advice",
    "training.memory.closed_form",
    "training.devices.machine",
    "training.locking",
    "training.progress.pace",
    "training.devices.process",
    "training.progress.pulse",
    "training.data.containers.reading",
    "training.data.doctor.strategies",
    "training.data.formats.conversion",
    "training.data.ingest.inspection",
    "training.data.ingest.run",
    "training.data.formats.detection",
    "training.data.records",
    "training.preview.child",
    "training.preview.questions",
    "training.requests",
    "training.steps.retention",
    "training.run",
    "training.steps.schedule",
    "training.scores",
    "training.templates.checks",
    "training.templates.guard",
    "training.templates.named",
    "training.templates.parsing",
    "training.steps.state",
    "training.steps.time_left",
    "training.timing.estimate",
    "training.validation",
)


def test_the_plain_modules_do_not_import_torch() -> None:
    script = (
        f"import sys, {', '.join(TORCH_FREE)}\n"
        "heavy = ('torch', 'transformers', 'peft', 'numpy', 'pandas', 'pyarrow', 'datasets')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stdout.strip() == "[]"
