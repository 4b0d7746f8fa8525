"""The documentation names what there is."""

from pathlib import Path

from jobs.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"


def test_every_setting_is_documented_and_nothing_else() -> None:
    rows = [
        line.split("|")[1].strip().strip("`")
        for line in (DOCS / "settings.md").read_text().splitlines()
        if line.startswith("| `TUNERY_")
    ]
    assert rows == [f"TUNERY_{name.upper()}" for name in Settings.model_fields]
