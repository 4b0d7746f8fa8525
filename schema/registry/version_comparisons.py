"""Two versions side by side."""

from typing import Annotated

import strawberry

from jobs.models import ModelVersion as VersionRow
from jobs.registry import versions
from schema import ids
from schema.context import Info
from schema.enums import Role
from schema.permissions import Requires
from schema.problems import NullIfNotFound
from schema.registry.versions import ModelVersion
from schema.runs.checkpoints import EpochMetrics
from schema.scalars import JSON
from training.events import TrainingResult

__all__ = ["VersionComparisonQueries"]


@strawberry.type(description="A field of the config in which two versions differ.")
class ConfigDifference:
    path: list[str] = strawberry.field(
        description="Its place in the input of runPipeline, outermost name first."
    )
    a: JSON | None = strawberry.field(description="What it is of the one.")
    b: JSON | None = strawberry.field(description="What it is of the other.")


@strawberry.type(description="A figure of two versions.")
class ComparedMetric:
    name: str = strawberry.field(description="What it is.")
    a: float | None = strawberry.field(description="What it is of the one; null if not measured.")
    b: float | None = strawberry.field(description="What it is of the other; null if not measured.")


@strawberry.type(description="An epoch of the runs of two versions; null past a run's last one.")
class ComparedEpoch:
    epoch: int = strawberry.field(description="Which one, from 1.")
    a: EpochMetrics | None = strawberry.field(description="Of the one.")
    b: EpochMetrics | None = strawberry.field(description="Of the other.")


@strawberry.type(description="What two versions answer to a prompt that the jobs of both had.")
class ComparedSample:
    prompt: str = strawberry.field(description="The prompt.")
    a: str | None = strawberry.field(description="The answer of the one.")
    b: str | None = strawberry.field(description="The answer of the other.")


@strawberry.type(description="Two versions side by side.")
class ModelVersionComparison:
    a: ModelVersion = strawberry.field(description="The one.")
    b: ModelVersion = strawberry.field(description="The other.")
    config: list[ConfigDifference] = strawberry.field(
        description="In what their configs differ; nothing where they are the same."
    )
    same_data: bool = strawberry.field(
        description="Whether both were trained on a dataset of the same content; compareDatasets "
        "tells how two differ."
    )
    same_held_out_rows: bool = strawberry.field(
        description="Whether their figures were measured on the same rows. If not, which is better "
        "cannot be told from them."
    )

    @classmethod
    def of(cls, compared: versions.Comparison) -> "ModelVersionComparison":
        return cls(
            a=ModelVersion.of(compared.a),
            b=ModelVersion.of(compared.b),
            config=[
                ConfigDifference(path=list(each.path), a=_json(each.a), b=_json(each.b))
                for each in compared.differences
            ],
            same_data=compared.same_data,
            same_held_out_rows=compared.same_rows,
        )

    @strawberry.field(description="What was measured of both.")
    def metrics(self) -> list[ComparedMetric]:
        a, b = _figures(self.a.row), _figures(self.b.row)
        return [ComparedMetric(name=name, a=a[name], b=b[name]) for name in a]

    @strawberry.field(description="Their runs, epoch by epoch.")
    async def epochs(self, info: Info) -> list[ComparedEpoch]:
        keys = [self.a.row.job_id, self.b.row.job_id]
        runs = await info.context.loaders.epochs.load_many(keys)
        a, b = ({each.epoch: each for each in run} for run in runs)
        return [
            ComparedEpoch(epoch=number, a=a.get(number), b=b.get(number))
            for number in sorted({*a, *b})
        ]

    @strawberry.field(description="What they answer to the prompts that both jobs had.")
    def samples(self) -> list[ComparedSample]:
        others = {each.prompt: each.after for each in self.b.samples()}
        return [
            ComparedSample(prompt=each.prompt, a=each.after, b=others[each.prompt])
            for each in self.a.samples()
            if each.prompt in others
        ]


def _json(value: object) -> JSON | None:
    return None if value is None else JSON(value)


def _figures(row: VersionRow) -> dict[str, float | None]:
    result = TrainingResult.model_validate(row.result)
    return {
        "validationLoss": result.validation_loss,
        "validationAccuracy": result.validation_accuracy,
        "trainingLoss": result.training_loss,
        "trainingAccuracy": result.training_accuracy,
        "trainingRecords": result.training_records,
        "trainedTokens": result.trained_tokens,
        "trainableParameters": result.trainable_parameters,
        "trainingDurationSeconds": result.duration_seconds,
        "sizeBytes": result.size_bytes,
    }


@strawberry.type
class VersionComparisonQueries:
    @strawberry.field(
        description="Two versions side by side, of one model or of two; null where you may not see both, an "
        "error where one is not trained.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def compare_model_versions(
        self,
        info: Info,
        a: Annotated[strawberry.ID, strawberry.argument(description="The id of the one.")],
        b: Annotated[strawberry.ID, strawberry.argument(description="The id of the other.")],
    ) -> ModelVersionComparison | None:
        keys = [ids.decode(ids.Kind.VERSION, each) for each in (a, b)]
        return ModelVersionComparison.of(await versions.compare(info.context.viewer, *keys))
