"""The documentation names what there is."""

import re
from pathlib import Path

from jobs.settings import Settings
from schema.runs.dry_runs import DropReason
from training.data.doctor.checks import Code, Strategy
from training.timing.estimate import TimeMethod

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FINDING_SOURCES = (
    "training/advice/*.py",
    "training/compatibility.py",
    "training/data/losses.py",
    "training/devices/placement.py",
    "training/held_out.py",
    "training/limits.py",
    "training/memory/advice.py",
    "training/methods/checks.py",
    "training/preview/findings.py",
    "training/templates/checks.py",
    "training/validation.py",
    "jobs/data/datasets.py",
    "jobs/runs/lifecycle.py",
    "jobs/runs/starts.py",
    "jobs/fleet/workers.py",
)
NO_FINDINGS = {
    "DATA_TYPE_DIFFERS",  # of making a dataset, not of a run
    "MAX_SAMPLE_PROMPTS",
    "OF_THE_TEMPLATE",
    "VALIDATION_DATASET",
}
"""What is written like a code of a finding about a run."""


def test_every_setting_is_documented_and_nothing_else() -> None:
    rows = [
        line.split("|")[1].strip().strip("`")
        for line in (DOCS / "settings.md").read_text().splitlines()
        if line.startswith("| `TUNERY_")
    ]
    assert rows == [f"TUNERY_{name.upper()}" for name in Settings.model_fields]


def test_every_finding_of_the_doctor_is_documented_in_its_order() -> None:
    named = [
        code
        for line in (DOCS / "datasets.md").read_text().splitlines()
        if line.startswith("| `")
        for code in re.findall(r"`([A-Z_]+)`", line.split("|")[1])
        if code not in set(Strategy)
    ]
    assert named == [code.value for code in Code]


def test_every_code_of_a_finding_is_documented_and_nothing_else() -> None:
    sources = [path for each in FINDING_SOURCES for path in ROOT.glob(each)]
    written = "".join(path.read_text() for path in sources)
    codes = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', written)) - NO_FINDINGS
    documented = re.findall(
        r"^\| `([A-Z_]+)` \|", (DOCS / "validation.md").read_text(), re.MULTILINE
    )
    others = {*TimeMethod, *(reason.value for reason in DropReason)}
    assert set(documented) - others == codes
