"""Under which licence a model folder says it stands."""

import json
import re
from pathlib import Path
from typing import Final

_FIELD: Final = re.compile(
    r"^licen[sc]e(?P<detail>_name|_link)?:[ \t]*(?P<value>\S.*)$", re.MULTILINE
)


def declared_licence(folder: Path) -> str | None:
    """By the front matter of the model card, else by the configuration; None where neither says."""
    return _on_card(folder).get("license") or _in_configuration(folder)


def licence_lines(folder: Path) -> list[str]:
    """The same as lines of a model card's front matter, with the name and link that go with a
    licence which has no common name."""
    found = _on_card(folder)
    if "license" not in found:
        configured = _in_configuration(folder)
        return [f"license: {configured}"] if configured else []
    return [f"{field}: {value}" for field, value in found.items()]


def _on_card(folder: Path) -> dict[str, str]:
    card = folder / "README.md"
    if not card.is_file():
        return {}
    text = card.read_text(encoding="utf-8", errors="replace")
    front_matter = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    lines = _FIELD.finditer(front_matter[1]) if front_matter else ()
    return {f"license{line['detail'] or ''}": line["value"].strip().strip("'\"") for line in lines}


def _in_configuration(folder: Path) -> str | None:
    config = json.loads((folder / "config.json").read_bytes())
    named = config.get("license")
    return named if isinstance(named, str) else None
