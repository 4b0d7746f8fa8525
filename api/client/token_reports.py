"""What the doctor says of a dataset as rows of tokens. Field names are the API's."""

from datetime import datetime

from api.client.record import Record
from api.client.reports import DataFinding
from api.client.results import Failure
from jobs.status import TaskStatus
from training.config import TrainOn

__all__ = [
    "TokenBin",
    "TokenExamination",
    "TokenPercentile",
    "TokenReport",
    "TokenStatistics",
    "TokensOverLimit",
]


class TokenPercentile(Record):
    """The share of rows, 0 to 100, that have at most so many tokens."""

    percentile: float
    tokens: int


class TokenBin(Record):
    """How many rows have from so many to so many tokens, both included."""

    from_length: int
    to_length: int
    count: int


class TokensOverLimit(Record):
    """What the limit to the length of rows costs."""

    max_length: int
    records: int
    tokens: int
    trained_tokens: int
    longest: int


class TokenStatistics(Record):
    """What the records are in tokens, before any limit."""

    rows: int
    tokens: int
    trained_tokens: int
    masked_tokens: int
    unknown_tokens: int
    length_percentiles: tuple[TokenPercentile, ...]
    trained_percentiles: tuple[TokenPercentile, ...]
    length_histogram: tuple[TokenBin, ...]
    over_limit: TokensOverLimit


class TokenReport(Record):
    """What was found in the rows."""

    findings: tuple[DataFinding, ...]
    statistics: TokenStatistics
    stop_tokens: tuple[str, ...]


class TokenExamination(Record):
    """Where the look at a dataset's rows of tokens stands."""

    id: str
    status: TaskStatus
    progress: float
    error: Failure | None
    report: TokenReport | None
    chat_template: str | None
    train_on: TrainOn
    max_sequence_length: int
    created_at: datetime

    @property
    def ended(self) -> bool:
        """Whether a worker has done with it."""
        return self.status in (TaskStatus.READY, TaskStatus.FAILED)
