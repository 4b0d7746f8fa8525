"""What a dataset is as rows of tokens, and the looks at it that were asked for."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from jobs.models import Dataset as DatasetRow
from jobs.models import TokenExamination as TokenExaminationRow
from jobs.pages import Page
from jobs.preview import examining
from schema import ids
from schema.context import Info
from schema.data.dataset_outcomes import Foretelling
from schema.data.dataset_reports import DataFinding
from schema.enums import TaskStatus, TrainOn
from schema.nodes import Failure, Node, failure, required
from schema.pagination import After, Connection, First, connection
from schema.scalars import BigInt
from training.data.doctor import report as doctor

if TYPE_CHECKING:  # a dataset has its examinations and these their dataset: a circle of types only
    from schema.data.datasets import Dataset
    from schema.registry.models import Model

__all__ = ["ExaminedInTokens", "TokenExamination"]


@strawberry.type(description="How many tokens the rows have.")
class TokenPercentile:
    percentile: float = strawberry.field(description="The share of rows, 0 to 100, …")
    tokens: int = strawberry.field(description="… that have at most so many tokens.")


@strawberry.type(description="A bar of a histogram of rows by their tokens.")
class TokenBin:
    from_length: int = strawberry.field(description="The fewest tokens, …")
    to_length: int = strawberry.field(description="… the most, both included, …")
    count: int = strawberry.field(description="… and how many rows have so many.")


@strawberry.type(description="What `maxSequenceLength` costs.")
class TokensOverLimit:
    max_length: int = strawberry.field(description="The limit, in tokens.")
    records: int = strawberry.field(description="How many records are longer.")
    tokens: BigInt = strawberry.field(description="Tokens beyond it, over all records.")
    trained_tokens: BigInt = strawberry.field(description="Those of them that bear loss.")
    longest: int = strawberry.field(description="Tokens of the longest record.")


@strawberry.type(description="What the records are in tokens, before any limit to their length.")
class TokenStatistics:
    rows: int = strawberry.field(description="How many rows there are: one a record.")
    tokens: BigInt = strawberry.field(description="Tokens over all rows.")
    trained_tokens: BigInt = strawberry.field(description="Those that bear loss.")
    masked_tokens: BigInt = strawberry.field(description="Those that bear none.")
    unknown_tokens: BigInt = strawberry.field(
        description="Those that stand for characters which the tokenizer does not know."
    )
    length_percentiles: list[TokenPercentile] = strawberry.field(
        description="Tokens of the rows; none where there are no rows."
    )
    trained_percentiles: list[TokenPercentile] = strawberry.field(
        description="Tokens that bear loss, of the rows."
    )
    length_histogram: list[TokenBin] = strawberry.field(
        description="How long the rows are, shortest first."
    )
    over_limit: TokensOverLimit = strawberry.field(description="What the limit costs.")

    @classmethod
    def of(cls, found: doctor.TokenStatistics) -> "TokenStatistics":
        over = found.over_limit
        return cls(
            rows=found.rows,
            tokens=BigInt(found.tokens),
            trained_tokens=BigInt(found.trained_tokens),
            masked_tokens=BigInt(found.masked_tokens),
            unknown_tokens=BigInt(found.unknown_tokens),
            length_percentiles=_percentiles(found.length_percentiles),
            trained_percentiles=_percentiles(found.trained_percentiles),
            length_histogram=[TokenBin(**each.model_dump()) for each in found.histogram],
            over_limit=TokensOverLimit(
                max_length=over.max_length,
                records=over.records,
                tokens=BigInt(over.tokens),
                trained_tokens=BigInt(over.trained_tokens),
                longest=over.longest,
            ),
        )


def _percentiles(found: tuple[tuple[int, int], ...]) -> list[TokenPercentile]:
    return [TokenPercentile(percentile=float(each), tokens=tokens) for each, tokens in found]


@strawberry.type(description="What was found in a dataset's rows of tokens, before any run.")
class TokenReport(Foretelling):
    findings: list[DataFinding] = strawberry.field(
        description="What is wrong, odd or worth knowing; none where all is well."
    )
    statistics: TokenStatistics = strawberry.field(description="The rows in figures.")
    stop_tokens: list[str] = strawberry.field(
        description="The tokens at which the model stops to generate, and one of which each answer trains."
    )

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "TokenReport":
        found = doctor.TokenReport.model_validate(stored)
        return cls(
            findings=[DataFinding.of(each) for each in found.findings],
            statistics=TokenStatistics.of(found.statistics),
            stop_tokens=list(found.stop_tokens),
            found=found,
        )


@strawberry.type(
    description="The look that `examineDataset` has a worker take at every record of a dataset as the "
    "row of tokens that it becomes for a model. The tokens are kept for runs that render alike."
)
class TokenExamination(Node):
    status: TaskStatus = strawberry.field(description="READY once there is a report.")
    progress: float = strawberry.field(description="How much of it is done, 0 to 100.")
    error: Failure | None = strawberry.field(
        description="Why it FAILED: often what a run would end for."
    )
    report: TokenReport | None = strawberry.field(description="What was found; null until READY.")
    chat_template: str | None = strawberry.field(
        description="The template that was chosen, by name or text; null for the model's own."
    )
    train_on: TrainOn = strawberry.field(description="Which part of a record is trained.")
    max_sequence_length: int = strawberry.field(
        description="The limit that rows were compared with, in tokens."
    )
    created_at: datetime = strawberry.field(description="When it was first asked for.")
    row: strawberry.Private[TokenExaminationRow]

    @classmethod
    def of(cls, row: TokenExaminationRow) -> "TokenExamination":
        return cls(
            id=ids.encode(ids.Kind.EXAMINATION, row.id),
            status=row.status,
            progress=row.progress,
            error=failure(row.error),
            report=None if row.report is None else TokenReport.of(row.report),
            chat_template=row.chat_template,
            train_on=row.train_on,
            max_sequence_length=row.max_sequence_length,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="Whose records they are.")
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("schema.data.datasets")]:
        return required(await info.context.loaders.datasets.load(self.row.dataset_id))

    @strawberry.field(description="The model whose tokens they become.")
    async def model(
        self, info: Info
    ) -> Annotated["Model", strawberry.lazy("schema.registry.models")]:
        return required(await info.context.loaders.models.load(self.row.model_id))


@strawberry.type
class ExaminedInTokens:
    """The field of a dataset that lists what was found in its tokens."""

    row: strawberry.Private[DatasetRow]

    @strawberry.field(
        description="The looks at its rows of tokens that were asked for, one for each way to make them, "
        "newest first."
    )
    async def token_examinations(
        self, first: First = 20, after: After = None
    ) -> Connection[TokenExamination]:
        rows = await examining.of_dataset(self.row.id, Page.of(first, after))
        return connection(rows, TokenExamination.of, after=after)
