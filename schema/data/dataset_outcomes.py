"""What a choice of strategies would do to the records of a dataset, told before it is made."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from jobs.data import strategies
from schema.data.data_findings import Code, Strategy
from training.data.doctor.checks import RECORD_CODES, ROW_CODES
from training.data.doctor.report import Report, TokenReport
from training.data.doctor.strategies import foretell

__all__ = ["DataOutcome", "DataStrategyInput", "Foretelling"]


@strawberry.input(description="What is to be done with the records of a finding.")
class DataStrategyInput:
    finding: Code = strawberry.field(description="What was found of them.")
    strategy: Strategy = strawberry.field(
        description="ERROR or DROP; a run cuts what is too long (`onTooLong`), a dataset stays whole."
    )

    def choice(self) -> strategies.Choice:
        return strategies.Choice(self.finding, self.strategy)


@strawberry.type(description="Records that were found with one thing.")
class FoundRecords:
    finding: Code = strawberry.field(description="What was found of them.")
    count: int = strawberry.field(description="How many records.")
    lines: list[int] = strawberry.field(
        description="Their places in the dataset, from 1: the first 100 of them."
    )


@strawberry.type(description="How many records would be left out for one reason.")
class FindingCount:
    finding: Code = strawberry.field(description="What was found of them.")
    count: int = strawberry.field(description="How many records.")


@strawberry.type(description="Records that would be left out.")
class DroppedByFindings:
    count: int = strawberry.field(description="How many, each counted once.")
    reasons: list[FindingCount] = strawberry.field(
        description="The same, each for the first of its findings in the order of their codes."
    )
    lines: list[int] = strawberry.field(
        description="Their places in the dataset, from 1: the first 100 of them."
    )


@strawberry.type(description="What would become of a dataset's records.")
class DataOutcome:
    kept: int = strawberry.field(description="How many would stay.")
    refused: list[FoundRecords] = strawberry.field(
        description="What has what is an error; where there is any, nothing would be made."
    )
    dropped: DroppedByFindings = strawberry.field(description="What would be left out.")

    @classmethod
    def of(cls, report: Report | TokenReport, chosen: Sequence[DataStrategyInput]) -> "DataOutcome":
        """InvalidInput names the choices that cannot be made."""
        choices = [each.choice() for each in chosen]
        looked_for = RECORD_CODES if isinstance(report, Report) else ROW_CODES
        wanted = strategies.chosen(choices, ["strategies"], looked_for=looked_for)
        found = foretell(report.patterns, wanted)
        lines = {each.code: list(each.lines) for each in report.findings}
        return cls(
            kept=found.kept,
            refused=[
                FoundRecords(finding=code, count=count, lines=lines[code])
                for code, count in found.refused.items()
            ],
            dropped=DroppedByFindings(
                count=found.dropped.count,
                reasons=[
                    FindingCount(finding=code, count=count)
                    for code, count in found.dropped.reasons.items()
                ],
                lines=list(found.dropped.lines),
            ),
        )


@strawberry.type
class Foretelling:
    """A report that tells what acting on its findings would do."""

    found: strawberry.Private[Report | TokenReport]

    @strawberry.field(
        description="What `deriveDataset` would make of the records by these strategies alone, which are "
        "about what this report can find; INVALID where one cannot be chosen."
    )
    def outcome(
        self,
        strategies: Annotated[
            list[DataStrategyInput],
            strawberry.argument(description="What to do with the records of which findings."),
        ],
    ) -> DataOutcome:
        return DataOutcome.of(self.found, strategies)
