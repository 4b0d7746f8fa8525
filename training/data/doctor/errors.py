"""How what the doctor found cannot be used."""

from collections.abc import Iterable, Mapping, Sequence

from training.data.doctor.checks import CHECKS, LEAK_CODES, Code
from training.data.errors import numbered
from training.errors import TrainingError

__all__ = ["ExaminationDamaged", "FindingUnknown", "RecordsRefused", "StrategyNotOffered"]


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


class FindingUnknown(TrainingError):
    """A strategy was chosen for what is found in no dataset by itself, but in a run."""

    def __init__(self, finding: Code) -> None:
        between_sides = finding in LEAK_CODES
        depends = "what a run tests with" if between_sides else "a run's model and template"
        does = (
            "leaves equal ones out (dropLeaksFrom)"
            if between_sides
            else "drops those without a trained token, and with onTooLong: DROP those that are too long"
        )
        super().__init__(
            "FINDING_UNKNOWN",
            f"Which records have {finding} depends on {depends}.",
            f"Leave them to the run, which {does}; or remove them by their lines.",
        )


class RecordsRefused(TrainingError):
    """Records were found with what the user said is an error."""

    def __init__(self, found: Mapping[Code, tuple[int, Sequence[int]]]) -> None:
        named = [
            f"{CHECKS[code].message} ({code}): {count}, on {numbered(lines, count)}."
            for code, (count, lines) in found.items()
        ]
        super().__init__(
            "RECORDS_REFUSED",
            " ".join(named),
            "Mend these records, remove them by their lines, or choose DROP for what was found.",
        )
