"""Evaluations: a version measured on test records, its base beside it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from jobs.models import Evaluation as EvaluationRow
from jobs.registry import evaluations
from schema import ids, numbered
from schema.context import Info
from schema.data.datasets import Dataset
from schema.enums import Role, TaskStatus
from schema.nodes import Failure, Node, failure, required
from schema.pagination import After, Connection, First
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.registry.measures import EvaluationResult
from training.evaluation import spec

if TYPE_CHECKING:  # a version has evaluations and each its version: a circle of types only
    from schema.registry.versions import ModelVersion

__all__ = ["Evaluation", "EvaluationMutations", "EvaluationQueries"]


@strawberry.type(description="What one model says to one record.")
class PredictedAnswer:
    text: str | None = strawberry.field(
        description="The answer that it generates; null if none was asked for."
    )
    exact: bool | None = strawberry.field(description="Whether it is the expected one.")
    f1: float | None = strawberry.field(description="How far it is the expected one, 0 to 1.")
    label: str | None = strawberry.field(
        description="The likeliest label; null where answers are no labels."
    )
    confidence: float | None = strawberry.field(
        description="How probable that is among all labels, 0 to 1."
    )


@strawberry.type(description="A test record, and what is answered to it.")
class Prediction:
    line: int = strawberry.field(description="Its place in the test dataset, from 1.")
    prompt: str = strawberry.field(description="All that the model is given, as it is rendered.")
    expected: str = strawberry.field(description="The answer in the record.")
    tuned: PredictedAnswer = strawberry.field(description="What the version says.")
    base: PredictedAnswer | None = strawberry.field(
        description="What its base says; null if that was not asked for."
    )

    @classmethod
    def of(cls, found: spec.Prediction, *, with_base: bool) -> "Prediction":
        base = PredictedAnswer(
            text=found.base,
            exact=found.base_exact,
            f1=found.base_f1,
            label=found.base_label,
            confidence=found.base_confidence,
        )
        return cls(
            line=found.line,
            prompt=found.prompt,
            expected=found.expected,
            tuned=PredictedAnswer(
                text=found.tuned,
                exact=found.tuned_exact,
                f1=found.tuned_f1,
                label=found.tuned_label,
                confidence=found.tuned_confidence,
            ),
            base=base if with_base else None,
        )


@strawberry.type(description="A version measured on the records of a dataset.")
class Evaluation(Node):
    status: TaskStatus = strawberry.field(description="READY once there is a result.")
    progress: float = strawberry.field(description="How far it is, 0 to 100.")
    error: Failure | None = strawberry.field(description="Why it FAILED.")
    dataset_name: str = strawberry.field(
        description="The test dataset's name, kept when it is deleted."
    )
    dataset_sha256: str = strawberry.field(description="Of its records, kept when it is deleted.")
    result: EvaluationResult | None = strawberry.field(description="Null until READY.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    row: strawberry.Private[EvaluationRow]

    @classmethod
    def of(cls, row: EvaluationRow) -> "Evaluation":
        found = spec.EvaluationResult.model_validate(row.result) if row.result else None
        return cls(
            id=ids.encode(ids.Kind.EVALUATION, row.id),
            status=row.status,
            progress=row.progress,
            error=failure(row.error),
            dataset_name=row.dataset_name,
            dataset_sha256=row.dataset_sha256,
            result=None if found is None else EvaluationResult.of(found),
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="The version that is measured.")
    async def model_version(
        self, info: Info
    ) -> Annotated["ModelVersion", strawberry.lazy("schema.registry.versions")]:
        return required(await info.context.loaders.versions.load(self.row.version_id))

    @strawberry.field(description="The test dataset; null once it was deleted.")
    async def dataset(self, info: Info) -> Dataset | None:
        key = self.row.dataset_id
        return None if key is None else await info.context.loaders.datasets.load(key)

    @strawberry.field(
        description="Record by record, what was asked and answered; none until READY, or where records "
        "have no answer apart from a prompt."
    )
    async def predictions(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Prediction]:
        found, total = await evaluations.predictions(
            self.row,
            after=numbered.start(first, after),
            first=first,
            artifacts=info.context.service.artifacts,
        )
        with_base = bool(self.result and self.result.base)
        rows = [(place, Prediction.of(each, with_base=with_base)) for place, each in found]
        return numbered.connection(rows, after=after, total=total)


@strawberry.input(description="A version to be measured.")
class EvaluateModelInput:
    model_version_id: strawberry.ID = strawberry.field(description="The version.")
    test_dataset_id: strawberry.ID = strawberry.field(
        description="The dataset with the test records; best one that it was not trained on."
    )
    max_records: int | None = strawberry.field(
        default=None, description="Measure a sample of so many records; all, where left out."
    )
    seed: int = strawberry.field(default=42, description="What draws the sample.")
    base: bool = strawberry.field(
        default=True, description="Whether its base model is measured too."
    )
    answers: bool = strawberry.field(
        default=True,
        description="Whether answers are generated; that takes most of the time.",
    )
    max_new_tokens: int = strawberry.field(
        default=128, description="Tokens of an answer at most, 1 to 4096."
    )

    def options(self) -> dict[str, object]:
        return {
            "max_records": self.max_records,
            "seed": self.seed,
            "base": self.base,
            "answers": self.answers,
            "max_new_tokens": self.max_new_tokens,
        }


EvaluateModelResult: TypeAlias = Annotated[
    Evaluation | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union(
        "EvaluateModelResult", description="The queued evaluation, or why there is none."
    ),
]


@strawberry.type
class EvaluationQueries:
    @strawberry.field(
        description="One evaluation; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_evaluation(
        self,
        info: Info,
        evaluation_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="An evaluation's id.")
        ],
    ) -> Evaluation | None:
        key = ids.decode(ids.Kind.EVALUATION, evaluation_id)
        return Evaluation.of(await evaluations.get(info.context.viewer, key))


@strawberry.type
class EvaluationMutations:
    @strawberry.mutation(
        description="Measure a version on test records, and its base beside it; follow the "
        "evaluation's `status`.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def evaluate_model(
        self,
        info: Info,
        sent: Annotated[
            EvaluateModelInput, strawberry.argument(name="input", description="What to measure.")
        ],
    ) -> EvaluateModelResult:
        row = await evaluations.request(
            info.context.viewer,
            ids.decode(ids.Kind.VERSION, sent.model_version_id),
            ids.decode(ids.Kind.DATASET, sent.test_dataset_id),
            options=sent.options(),
            queue=info.context.service.queue,
        )
        return Evaluation.of(row)
