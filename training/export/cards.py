"""What lies beside exported weights: how to load them, and under which licence their base stands."""

import json
import shutil
from pathlib import Path
from typing import Final

from training.export.spec import ExportSpec
from training.models.licences import licence_lines
from training.models.sources import local_folder

__all__ = ["base_name", "generation", "has_template", "write_card"]

_LICENCES: Final = ("LICEN[SC]E*", "NOTICE*")


def write_card(spec: ExportSpec, folder: Path, *, usage: str, library: str, more: str = "") -> None:
    """Write README.md and the licence files of the base. `usage` is Python that loads the folder and
    answers, `library` what model hubs call that which it uses, `more` Markdown that follows."""
    base = local_folder(spec.model_path)
    for pattern in _LICENCES:
        for path in sorted(base.glob(pattern)):
            shutil.copyfile(path, folder / path.name)
    front_matter = [
        *licence_lines(base),
        f"base_model: {json.dumps(base_name(spec))}",
        f"library_name: {library}",
    ]
    card = _CARD.format(
        front_matter="\n".join(front_matter),
        name=" ".join(spec.model_name.split()),
        base_name=base_name(spec),
        caution=_ORIGINAL if spec.merged_into_original else "",
        usage=usage.strip(),
        more=f"\n{more}" if more else "",
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def base_name(spec: ExportSpec) -> str:
    """By which a reader finds the base again."""
    source = Path(spec.model_path)
    return spec.base_name or (source.name if source.is_dir() else spec.model_path)


def has_template(spec: ExportSpec) -> bool:
    """Whether the version is asked through a chat template."""
    return (Path(spec.version_path) / "chat_template.jinja").is_file()


def generation(spec: ExportSpec) -> str:
    """Python that lets `model` answer by `tokenizer`, both of transformers."""
    return (_CHAT if has_template(spec) else _TEXT) + _GENERATION


_ORIGINAL: Final = """
The adapter was trained beside this base in 4 bits, and is merged into the base as it was before: this is not
the model that was trained.
"""

_CHAT: Final = """\
messages = [{"role": "user", "content": "Hello"}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
"""
_TEXT: Final = """\
inputs = tokenizer("Hello", return_tensors="pt")
"""
_GENERATION: Final = """\
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0]))
"""

_CARD: Final = """\
---
{front_matter}
---
# {name}

Fine-tuned from {base_name}.
{caution}
```python
{usage}
```
{more}
`manifest.json` holds the size and the SHA-256 of every file.
"""
