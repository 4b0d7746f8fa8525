"""How a choice about what the doctor found can fail."""

from collections.abc import Iterable, Mapping, Sequence

from training.data.doctor.checks import CHECKS, LEAK_CODES, Code
from training.data.errors import numbered
from training.errors import TrainingError

__all__ = ["FindingUnknown", "RecordsRefused", "StrategyNotOffered"]


class StrategyNotOffered(TrainingError):
    """A strategy was chosen for a finding that it does not fit."""

    def __init__(self, finding: str, strategy: str, offered: Iterable[str]) -> None:
        super().__init__(
            "STRATEGY_NOT_OFFERED",
            f"Records found with {finding} cannot be dealt with by {strategy}.",
            f"Choose one of {', '.join(offered)}, or none to keep them.",
        )


class FindingUnknown(TrainingError):
    """A strategy was chosen for what nobody has looked for in these records."""

    def __init__(self, finding: Code) -> None:
        super().__init__(
            "FINDING_UNKNOWN",
            f"It is not known which records have {finding}: "
            + (
                "that is found between two sides of a run."
                if finding in LEAK_CODES
                else "that is found in tokens, and they were not examined as such."
            ),
            "Leave it to the run: it leaves out leaks (dropLeaksFrom)."
            if finding in LEAK_CODES
            else "Have the dataset examined with a model; or leave it to the run, which drops records "
            "without a trained token, and those that are too long with onTooLong: DROP.",
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
