"""Under which licence a model folder says it stands."""

import json
import re
from pathlib import Path


def declared_licence(folder: Path) -> str | None:
    """By the front matter of the model card, else by the configuration; None where neither says."""
    card = folder / "README.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
        front_matter = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        found = front_matter and re.search(
            r"^licen[sc]e:[ \t]*(\S.*)$", front_matter[1], re.MULTILINE
        )
        if found:
            return found[1].strip().strip("'\"")
    config = json.loads((folder / "config.json").read_bytes())
    named = config.get("license")
    return named if isinstance(named, str) else None
