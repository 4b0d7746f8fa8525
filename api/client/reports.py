"""What the doctor says of a dataset. Field names are the API's."""

from api.client.record import Record
from api.client.results import Failure
from jobs.status import TaskStatus
from training.data.doctor.checks import Code, Strategy
from training.findings import Severity

__all__ = [
    "DataFinding",
    "DataOutcome",
    "DatasetExamination",
    "DatasetLanguages",
    "DatasetReport",
    "DroppedByFindings",
    "ExaminedDataset",
    "FindingCount",
    "FoundRecords",
    "LanguageCount",
    "LengthBin",
    "PersonalData",
    "RepeatedGroup",
    "RepeatedRecords",
]


class DataFinding(Record):
    """One kind of thing found in the records of a dataset."""

    code: Code
    severity: Severity
    count: int
    lines: tuple[int, ...]
    """The first of them, from 1."""
    message: str
    remedy: str
    strategies: tuple[Strategy, ...]


class RepeatedGroup(Record):
    """Records that are one and the same, or nearly."""

    count: int
    lines: tuple[int, ...]


class RepeatedRecords(Record):
    """Records that repeat others; `records` counts those beyond the first of each group."""

    groups: int
    records: int
    largest: tuple[RepeatedGroup, ...]


class LengthBin(Record):
    """How many records have from so many to so many characters, both included."""

    from_length: int
    to_length: int
    count: int


class LanguageCount(Record):
    """How many of the sampled records are in a language, by ISO 639."""

    code: str
    records: int


class DatasetLanguages(Record):
    """What languages the texts are in, most frequent first."""

    sampled: int
    languages: tuple[LanguageCount, ...]


class PersonalData(Record):
    """How many records have personal data, or a secret, of one kind."""

    kind: Code
    records: int


class DatasetReport(Record):
    """What was found in the records of a dataset."""

    findings: tuple[DataFinding, ...]
    duplicates: RepeatedRecords
    near_duplicates: RepeatedRecords
    length_histogram: tuple[LengthBin, ...]
    languages: DatasetLanguages | None
    personal_data: tuple[PersonalData, ...]


class FoundRecords(Record):
    """Records that were found with one thing."""

    finding: Code
    count: int
    lines: tuple[int, ...]


class FindingCount(Record):
    """How many records would be left out for one reason."""

    finding: Code
    count: int


class DroppedByFindings(Record):
    """Records that would be left out; each counted once."""

    count: int
    reasons: tuple[FindingCount, ...]
    lines: tuple[int, ...]


class DataOutcome(Record):
    """What strategies would do to the records of a dataset."""

    kept: int
    refused: tuple[FoundRecords, ...]
    dropped: DroppedByFindings


class DatasetExamination(Record):
    """Where the look at the records stands."""

    status: TaskStatus
    progress: float
    error: Failure | None


class ExaminedDataset(Record):
    """A dataset by what was found in it; `examination` is null before the dataset is READY."""

    id: str
    name: str
    status: TaskStatus
    record_count: int
    examination: DatasetExamination | None
    report: DatasetReport | None
