"""What the doctor says of a dataset: findings, repetitions, lengths, languages, personal data."""

from collections.abc import Mapping

import strawberry

from jobs.models import Dataset as DatasetRow
from jobs.models import Examination as ExaminationRow
from schema.context import Info
from schema.data.data_findings import Code, Strategy
from schema.data.dataset_outcomes import Foretelling
from schema.enums import Severity, TaskStatus
from schema.nodes import Failure, failure
from training.data.doctor import report as doctor

__all__ = ["DatasetExamination", "DatasetReport", "Examined"]


@strawberry.type(description="One kind of thing found in the records of a dataset.")
class DataFinding:
    code: Code = strawberry.field(description="What it is, for programs.")
    severity: Severity = strawberry.field(description="How much it matters.")
    count: int = strawberry.field(description="How many records have it.")
    lines: list[int] = strawberry.field(
        description="Their places in the dataset, from 1: the first 100 of them."
    )
    message: str = strawberry.field(description="What it is, with the count; for people.")
    remedy: str = strawberry.field(description="What to do about it.")
    strategies: list[Strategy] = strawberry.field(
        description="What can be done with these records."
    )

    @classmethod
    def of(cls, found: doctor.DataFinding) -> "DataFinding":
        return cls(
            code=found.code,
            severity=found.severity,
            count=found.count,
            lines=list(found.lines),
            message=found.message,
            remedy=found.remedy,
            strategies=list(found.strategies),
        )


@strawberry.type(description="Records that are one and the same, or nearly.")
class RepeatedGroup:
    count: int = strawberry.field(description="How many there are, the first included.")
    lines: list[int] = strawberry.field(
        description="Their places in the dataset, from 1: the first 100 of them."
    )


@strawberry.type(description="Records that repeat others.")
class RepeatedRecords:
    groups: int = strawberry.field(description="How many different records are repeated.")
    records: int = strawberry.field(description="Records beyond the first of each group.")
    largest: list[RepeatedGroup] = strawberry.field(description="The 20 largest groups.")

    @classmethod
    def of(cls, found: doctor.Duplicates) -> "RepeatedRecords":
        return cls(
            groups=found.groups,
            records=found.records,
            largest=[
                RepeatedGroup(count=each.count, lines=list(each.lines)) for each in found.largest
            ],
        )


@strawberry.type(description="A bar of a histogram of records by their characters.")
class LengthBin:
    from_length: int = strawberry.field(description="The fewest characters, …")
    to_length: int = strawberry.field(description="… the most, both included, …")
    count: int = strawberry.field(description="… and how many records have so many.")


@strawberry.type(description="How many of the sampled records are in a language.")
class LanguageCount:
    code: str = strawberry.field(
        description="The language by ISO 639; `und` where it cannot be told."
    )
    records: int = strawberry.field(description="Records of the sample.")


@strawberry.type(description="What languages the texts are in, told from a fair sample.")
class DatasetLanguages:
    sampled: int = strawberry.field(description="How many records were looked at.")
    languages: list[LanguageCount] = strawberry.field(description="Most frequent first.")

    @classmethod
    def of(cls, found: doctor.Languages) -> "DatasetLanguages":
        counts = [LanguageCount(code=code, records=count) for code, count in found.counts.items()]
        return cls(sampled=found.sampled, languages=counts)


@strawberry.type(description="Records with personal data, or a secret, of one kind.")
class PersonalData:
    kind: Code = strawberry.field(description="What it is.")
    records: int = strawberry.field(description="How many records have it.")


@strawberry.type(description="What was found in the records of a dataset, before any run.")
class DatasetReport(Foretelling):
    findings: list[DataFinding] = strawberry.field(
        description="What is wrong, odd or worth knowing; none where all is well."
    )
    duplicates: RepeatedRecords = strawberry.field(description="Records equal to earlier ones.")
    near_duplicates: RepeatedRecords = strawberry.field(
        description="Records nearly equal to earlier ones, among those that are not equal."
    )
    length_histogram: list[LengthBin] = strawberry.field(
        description="How long the records are, shortest first."
    )
    languages: DatasetLanguages | None = strawberry.field(
        description="Of the texts; null where the type is CODE."
    )
    personal_data: list[PersonalData] = strawberry.field(
        description="What has the form of personal data or of a secret, by kind; the findings name "
        "the lines."
    )

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "DatasetReport":
        found = doctor.Report.model_validate(stored)
        return cls(
            findings=[DataFinding.of(each) for each in found.findings],
            duplicates=RepeatedRecords.of(found.duplicates),
            near_duplicates=RepeatedRecords.of(found.near_duplicates),
            length_histogram=[LengthBin(**each.model_dump()) for each in found.histogram],
            languages=None if found.languages is None else DatasetLanguages.of(found.languages),
            personal_data=[
                PersonalData(kind=kind, records=count)
                for kind, count in found.personal_data.items()
            ],
            found=found,
        )


@strawberry.type(description="The look that is taken at every record once a dataset is READY.")
class DatasetExamination:
    status: TaskStatus = strawberry.field(description="READY once there is a report.")
    progress: float = strawberry.field(description="How much of it is done, 0 to 100.")
    error: Failure | None = strawberry.field(description="Why it FAILED.")

    @classmethod
    def of(cls, row: ExaminationRow) -> "DatasetExamination":
        return cls(status=row.status, progress=row.progress, error=failure(row.error))


@strawberry.type
class Examined:
    """The fields of a dataset that tell what was found in it."""

    row: strawberry.Private[DatasetRow]

    @strawberry.field(
        description="The look that a worker takes at its records; null until it is READY itself."
    )
    async def examination(self, info: Info) -> DatasetExamination | None:
        found = await info.context.loaders.examinations.load(self.row.id)
        return None if found is None else DatasetExamination.of(found)

    @strawberry.field(
        description="What was found in its records; null until its `examination` was READY once. It can be "
        "trained on before."
    )
    async def report(self, info: Info) -> DatasetReport | None:
        found = await info.context.loaders.examinations.load(self.row.id)
        if found is None or found.report is None:
            return None
        return DatasetReport.of(found.report)
