"""How what the doctor found cannot be used."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from training.data.doctor.checks import CHECKS, LEAK_CODES, RECORD_CODES, ROW_CODES, Code
from training.data.errors import numbered
from training.errors import TrainingError

__all__ = [
    "ExaminationDamaged",
    "FindingUnknown",
    "FoundInAll",
    "RecordsRefused",
    "StrategyNotOffered",
    "TokensNotKept",
]


class ExaminationDamaged(TrainingError):
    """What was kept of each record cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "EXAMINATION_DAMAGED",
            f"What the examination has kept of each record cannot be read: {reason}.",
            "Have the dataset examined again, by examineDataset without a model.",
        )


class TokensNotKept(TrainingError):
    """What was found of each row of tokens is not there, or cannot be read."""

    def __init__(self) -> None:
        super().__init__(
            "TOKENS_NOT_KEPT",
            "What the examination of its tokens has found of each record is not there any more, or is "
            "damaged.",
            "Have its tokens examined once more, by examineDataset with the same model and options, and "
            "derive again.",
        )


class FoundInAll(TrainingError):
    """Every record was to go for something that is no record's own fault."""

    def __init__(self, finding: Code, records: int) -> None:
        super().__init__(
            "FOUND_IN_ALL",
            f"{CHECKS[finding].message} ({finding}): that is all {records} of them, so it comes of how "
            "they are rendered, not of any one of them.",
            f"Have the tokens examined with {_RENDERED_BY.get(finding, _TEMPLATE)}, and derive by that.",
        )


_TEMPLATE: Final = "another chatTemplate or trainOn"
_RENDERED_BY: Final = dict.fromkeys(
    (Code.TOO_LONG, Code.ANSWER_CUT, Code.NO_TRAINED_TOKEN_LEFT), "a greater maxSequenceLength"
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
    """A strategy was chosen for what was not looked for there."""

    def __init__(self, finding: Code) -> None:
        why, remedy = _ELSEWHERE[_kind(finding)]
        super().__init__("FINDING_UNKNOWN", f"Which records have {finding} {why}.", remedy)


def _kind(finding: Code) -> frozenset[Code]:
    return next(each for each in _ELSEWHERE if finding in each)


_ELSEWHERE: Final = {
    LEAK_CODES: (
        "depends on what a run tests with",
        "Leave them to the run, which leaves equal ones out (dropLeaksFrom); or remove them by their "
        "lines.",
    ),
    ROW_CODES: (
        "depends on a model and its template",
        "Have the tokens examined, by examineDataset with a model: that report tells of them, and "
        "deriveDataset takes the examination as tokenExaminationId. Or leave them to the run, which drops "
        "those without a trained token, and with onTooLong: DROP those that are too long.",
    ),
    RECORD_CODES: (
        "is not told by their tokens",
        "The dataset's own report tells of them.",
    ),
}
"""Who knows of a finding, where it was asked of others."""


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
