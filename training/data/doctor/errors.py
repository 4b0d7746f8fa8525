"""How what the doctor found cannot be used."""

from collections.abc import Iterable

from training.errors import TrainingError

__all__ = ["ExaminationDamaged", "StrategyNotOffered"]


class ExaminationDamaged(TrainingError):
    """What was kept of each record cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "EXAMINATION_DAMAGED",
            f"What the examination has kept of each record cannot be read: {reason}.",
            "Have the dataset examined again, by examineDataset without a model.",
        )


class StrategyNotOffered(TrainingError):
    """A strategy was chosen for a finding that it does not fit."""

    def __init__(self, finding: str, strategy: str, offered: Iterable[str]) -> None:
        super().__init__(
            "STRATEGY_NOT_OFFERED",
            f"Records found with {finding} cannot be dealt with by {strategy}.",
            f"Choose one of {', '.join(offered)}, or none to keep them.",
        )
