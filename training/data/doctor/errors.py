"""How a choice about what the doctor found can fail."""

from collections.abc import Iterable

from training.errors import TrainingError

__all__ = ["StrategyNotOffered"]


class StrategyNotOffered(TrainingError):
    """A strategy was chosen for a finding that it does not fit."""

    def __init__(self, finding: str, strategy: str, offered: Iterable[str]) -> None:
        super().__init__(
            "STRATEGY_NOT_OFFERED",
            f"Records found with {finding} cannot be dealt with by {strategy}.",
            f"Choose one of {', '.join(offered)}, or none to keep them.",
        )
