"""What is trained: a model, rows and a method, and where under `.bench` they lie."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path(".bench")
"""Models, data and runs; deleting it has all of them prepared anew."""

BATCH_SIZE: Final = 8
"""Examples an optimizer step sees, in every arm."""
IGNORED: Final = -100
"""The label of a token that bears no loss."""
MAX_TOKENS: Final = 1024
"""The longest row; none of the workloads comes near it."""


@dataclass(frozen=True)
class Workload:
    """One model on one set of rows."""

    name: str
    model: str
    """The model's folder under `.bench/models`."""
    rows: int
    method: str
    """LORA or FULL."""
    learning_rate: float
    times_longer: int = 1
    """How many times as long synthetic rows are."""
    on_gpu: bool = False
    """Whether it is for a GPU, whose memory is then looked at instead of the process's."""
    least_speed: float = 3.3
    """The limit of our tokens a second, as a multiple of the fastest peer's."""
    least_speed_over_trl: float = 3.3
    """The same over the fastest of TRL's arms."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the one epoch that is trained."""
        return math.ceil(self.rows / BATCH_SIZE)

    @property
    def model_path(self) -> Path:
        """The checkpoint that every arm loads."""
        return (HOME / "models" / self.model).resolve()

    @property
    def folder(self) -> Path:
        """Where this workload's data and runs lie."""
        return (HOME / "runs" / self.name).resolve()

    @property
    def records_path(self) -> Path:
        """The rows as canonical CHAT records, as a user would upload them."""
        return self.folder / "records.jsonl"

    @property
    def rows_path(self) -> Path:
        """The same rows as `{input_ids, labels}`, rendered by Tunery."""
        return self.folder / "rows.jsonl"

    def lengths(self) -> list[int]:
        """Tokens of each prepared row."""
        return [len(row["input_ids"]) for row in self._prepared()]

    def label_counts(self) -> list[int]:
        """Tokens of each prepared row that bear loss."""
        return [sum(label != IGNORED for label in row["labels"]) for row in self._prepared()]

    def _prepared(self) -> list[dict[str, list[int]]]:
        with self.rows_path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload(
            "smollm2-64",
            "smollm2",
            rows=64,
            method="LORA",
            learning_rate=1e-4,
            least_speed=2.5,
            least_speed_over_trl=4.5,
        ),
        Workload(
            "smollm2-512",
            "smollm2",
            rows=512,
            method="LORA",
            learning_rate=1e-4,
            least_speed=2.5,
            least_speed_over_trl=4.5,
        ),
        Workload("medium-lora", "medium", rows=48, method="LORA", learning_rate=1e-3),
        Workload("medium-full", "medium", rows=48, method="FULL", learning_rate=1e-4),
        Workload("wide-lora", "wide", rows=24, method="LORA", learning_rate=1e-3),
        Workload(
            "smollm2-1024",
            "smollm2",
            rows=1024,
            method="LORA",
            learning_rate=1e-4,
            on_gpu=True,
        ),
        Workload(
            "large-lora",
            "large",
            rows=512,
            method="LORA",
            learning_rate=1e-3,
            times_longer=2,
            on_gpu=True,
        ),
        Workload(
            "large-full",
            "large",
            rows=512,
            method="FULL",
            learning_rate=1e-4,
            times_longer=2,
            on_gpu=True,
        ),
    )
}
