"""What the doctor found, as data: frozen, and JSON both ways."""

from collections.abc import Sequence
from typing import Final

from pydantic import ConfigDict

from training.config import Frozen
from training.data.doctor.checks import CHECKS, Code, Strategy
from training.data.records import Statistics
from training.findings import Severity

__all__ = [
    "MAX_GROUPS",
    "MAX_LINES",
    "MAX_PAIRS",
    "Bin",
    "DataFinding",
    "Duplicates",
    "Group",
    "Languages",
    "LeakPair",
    "Leaks",
    "OverLimit",
    "Pattern",
    "Report",
    "TokenReport",
    "TokenStatistics",
    "finding",
]

MAX_LINES: Final = 100
"""Lines named for each finding; counts are always whole."""
MAX_GROUPS: Final = 20
MAX_PAIRS: Final = 100


class DataFinding(Frozen):
    """One kind of thing found in a dataset."""

    code: Code
    severity: Severity
    count: int
    """Records, all of them."""
    lines: tuple[int, ...]
    """The first of them, from 1."""
    message: str
    remedy: str
    strategies: tuple[Strategy, ...]
    """What may be chosen to be done with these records."""


class Bin(Frozen):
    """A bar of a histogram: how many lengths lie in `from_length <= length <= to_length`."""

    from_length: int
    to_length: int
    count: int


class Pattern(Frozen):
    """The records of which the same was found, all of it: what a strategy does, it does to all."""

    codes: tuple[Code, ...]
    """In the order of the table; none for records of which nothing was found."""
    count: int
    lines: tuple[int, ...]
    """The first of them."""


class Group(Frozen):
    """Records that are one and the same, or nearly."""

    count: int
    lines: tuple[int, ...]
    """The first of them; what is dropped is dropped after the first."""


class Duplicates(Frozen):
    """Records that repeat others."""

    groups: int
    records: int
    """Beyond the first of each group."""
    largest: tuple[Group, ...]


class Languages(Frozen):
    """What languages the texts are in, told from a sample of the records."""

    sampled: int
    counts: dict[str, int]
    """Sampled records by ISO 639 code, most frequent first; `und` where it cannot be told."""


class OverLimit(Frozen):
    """What a limit to the length of rows costs."""

    max_length: int
    records: int
    tokens: int
    """Beyond the limit, over all records."""
    trained_tokens: int
    """Those of them that bear loss."""
    longest: int
    """Tokens of the longest record."""


class TokenStatistics(Frozen):
    """What a dataset is in tokens, before any limit to their number."""

    rows: int
    tokens: int
    trained_tokens: int
    masked_tokens: int
    unknown_tokens: int
    length_percentiles: tuple[tuple[int, int], ...]
    """(percentile, tokens), by nearest rank; empty where there are no rows."""
    trained_percentiles: tuple[tuple[int, int], ...]
    histogram: tuple[Bin, ...]
    over_limit: OverLimit


class TokenReport(Frozen):
    """Everything the doctor says about a dataset as rows of tokens."""

    statistics: TokenStatistics
    findings: tuple[DataFinding, ...]
    patterns: tuple[Pattern, ...]
    """Every row once; as for records."""
    stop_tokens: tuple[str, ...]
    """At which generation stops, and one of which each answer has to train."""


class LeakPair(Frozen):
    """A validation record and a training record that it repeats."""

    validation_line: int
    training_line: int
    similarity: float
    """1 where they are equal; else the estimated share of what they have in common."""


class Leaks(Frozen):
    """Validation records that repeat training records."""

    equal: int
    near: int
    """Nearly equal to a training record, and equal to none."""
    pairs: tuple[LeakPair, ...]
    """The first of them, equal ones before near ones."""


class Report(Frozen):
    """Everything the doctor says about a dataset's records."""

    model_config = ConfigDict(extra="ignore")  # the first reports had a place for tokens, too

    findings: tuple[DataFinding, ...]
    patterns: tuple[Pattern, ...]
    """Every record once; `strategies.foretell` says from them what a choice would do."""
    statistics: Statistics
    histogram: tuple[Bin, ...]
    """Of the characters of each record."""
    duplicates: Duplicates
    near_duplicates: Duplicates
    """Among records that are not equal."""
    languages: Languages | None
    """None for CODE."""
    leaks: Leaks | None = None
    """None where there is no validation side."""

    @property
    def personal_data(self) -> dict[Code, int]:
        """Records with personal data or secrets, by kind."""
        return {each.code: each.count for each in self.findings if each.code in _PERSONAL}


_PERSONAL: Final = frozenset(
    {
        Code.EMAIL_ADDRESS,
        Code.PHONE_NUMBER,
        Code.CARD_NUMBER,
        Code.BANK_ACCOUNT,
        Code.SECRET_KEY,
    }
)


def finding(code: Code, count: int, lines: Sequence[int]) -> DataFinding:
    """The finding that `count` records have, the first of which are on these lines."""
    check = CHECKS[code]
    return DataFinding(
        code=code,
        severity=check.severity,
        count=count,
        lines=tuple(lines[:MAX_LINES]),
        message=f"{check.message}: {count}.",
        remedy=check.remedy,
        strategies=check.strategies,
    )
