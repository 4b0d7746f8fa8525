"""What is read and tokenised, and where under `.bench` it lies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path(".bench")
MODEL: Final = (HOME / "models" / "smollm2").resolve()
"""Whose tokenizer and chat template every arm uses."""


@dataclass(frozen=True)
class Workload:
    """Conversations of a file as people have it, in a number."""

    records: int

    @property
    def folder(self) -> Path:
        """Where the data and the runs lie."""
        return (HOME / "data" / str(self.records)).resolve()

    @property
    def source(self) -> Path:
        """JSONL in ShareGPT's format, with a column that no record needs."""
        return self.folder / "sharegpt.jsonl"

    @property
    def canonical(self) -> Path:
        """The same conversations as canonical CHAT records."""
        return self.folder / "records.jsonl"
