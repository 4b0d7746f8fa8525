"""The documentation names what there is."""

import re
from pathlib import Path

from jobs.settings import Settings
from training.data.doctor.checks import Code, Strategy

DOCS = Path(__file__).parent.parent / "docs"


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
