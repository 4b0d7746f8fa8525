"""Asking for training, and asking about it: the root fields of training jobs."""

from typing import Annotated, TypeAlias

import strawberry

from jobs.errors import InvalidInput
from jobs.pages import Page
from jobs.runs import lifecycle
from schema import ids
from schema.context import Info
from schema.data.previews import PreviewedRecord
from schema.data.token_examinations import TokenExamination
from schema.enums import JobStatus, Role, Severity
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires
from schema.problems import (
    ConflictProblem,
    Finding,
    InvalidProblem,
    NotFoundProblem,
    NullIfNotFound,
)
from schema.runs.dry_runs import RecordsDropped
from schema.runs.resources import MemoryEstimate, TimeEstimate
from schema.runs.run_requests import RunPipelineInput, StartTrainingInput
from schema.runs.short_form import in_short_form
from schema.runs.training_configs import TrainingConfig
from schema.runs.training_control import JobId
from schema.runs.training_jobs import TrainingJob
from schema.scalars import BigInt
from training.preview.questions import DIVIDED_ROWS

__all__ = ["TrainingMutations", "TrainingQueries"]


@strawberry.type(description="All that can be said of a run before it is started.")
class ConfigValidation:
    valid: bool = strawberry.field(description="Whether the run would be accepted.")
    errors: list[Finding] = strawberry.field(description="What cannot run.")
    warnings: list[Finding] = strawberry.field(description="What can run, and is unusual.")
    recommendations: list[Finding] = strawberry.field(description="What may do better.")
    resolved: TrainingConfig | None = strawberry.field(
        description="The whole config it would have; null where the input makes none."
    )
    training_records: int | None = strawberry.field(
        description="Records it would train on; null where it cannot run. Exact where "
        f"`recordsDropped` is told and of at most {DIVIDED_ROWS:,} records, else if none is dropped or in the "
        "data to test with, too."
    )
    validation_records: int | None = strawberry.field(
        description="Records it would test with, on the same terms."
    )
    steps: int | None = strawberry.field(
        description="Optimizer steps of the whole run, if it does not stop early; null where it cannot "
        "run. Exact where `trainingRecords` is."
    )
    tokens_trained: BigInt | None = strawberry.field(
        description="How many tokens will bear loss, each as often as it is seen. Exact where "
        "`trainingRecords` is, else told from the dataset's characters. Null where it cannot run or the dataset was stored before "
        "these were counted."
    )
    records_dropped: RecordsDropped | None = strawberry.field(
        description="The records that it would not train on; null where that is not known, or the "
        "run cannot start for other reasons."
    )
    records_dropped_unknown: str | None = strawberry.field(
        description="Why `recordsDropped` is null, and what to do; null where it is not, or the run cannot "
        "start for other reasons."
    )
    near_leaks_unknown: str | None = strawberry.field(
        description="Why no warning tells of records to test with that are nearly equal to those it "
        "would train on, such as that the dataset is not examined yet; null where that is known, where "
        "nothing is tested with, or the run cannot start for other reasons."
    )
    preview: list[PreviewedRecord] | None = strawberry.field(
        description="The dataset's first records, at most two, as the training loop would see them; "
        "null where that is not known."
    )
    token_examinations: list[TokenExamination] = strawberry.field(
        description="The looks at the tokens of its dataset, and of that to test with, as it would render them: those that "
        "were asked for with `examineDataset`."
    )
    memory: MemoryEstimate | None = strawberry.field(
        description="What a run will take of the worker with most memory, which may be off by a "
        "fifth; null where that cannot be told. The run itself tells it better once its data is "
        "tokenised."
    )
    memory_unknown: str | None = strawberry.field(
        description="Why `memory` is null; null where it is not, or the run cannot start."
    )
    time: TimeEstimate | None = strawberry.field(
        description="How long it will take, once a worker has taken it up; null where that cannot be "
        "told. The run itself tells it better from its first steps."
    )
    time_unknown: str | None = strawberry.field(
        description="Why `time` is null; null where it is not, or the run cannot start."
    )

    @classmethod
    def of(cls, validation: lifecycle.Validation) -> "ConfigValidation":
        def those(severity: Severity) -> list[Finding]:
            return [Finding.of(each) for each in validation.findings if each.severity is severity]

        foreseen, dry_run = validation.forecast, validation.dry_run
        tokens, memory = foreseen.tokens_trained, foreseen.memory
        return cls(
            valid=validation.valid,
            errors=those(Severity.ERROR),
            warnings=those(Severity.WARNING),
            recommendations=those(Severity.RECOMMENDATION),
            resolved=None if validation.config is None else TrainingConfig.of(validation.config),
            training_records=foreseen.training_records,
            validation_records=foreseen.validation_records,
            steps=foreseen.steps,
            tokens_trained=None if tokens is None else BigInt(tokens),
            records_dropped=None if dry_run.rows is None else RecordsDropped.of(dry_run.rows),
            records_dropped_unknown=dry_run.unknown,
            near_leaks_unknown=dry_run.near_leaks_unknown,
            preview=None
            if dry_run.shown is None
            else [PreviewedRecord.of(each) for each in dry_run.shown],
            token_examinations=[TokenExamination.of(each) for each in dry_run.examinations],
            memory=None if memory is None else MemoryEstimate.of(memory),
            memory_unknown=foreseen.memory_unknown,
            time=None if foreseen.time is None else TimeEstimate.of(foreseen.time),
            time_unknown=foreseen.time_unknown,
        )


StartTrainingResult: TypeAlias = Annotated[
    TrainingJob | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("StartTrainingResult", description="The queued job, or why there is none."),
]
Pipeline: TypeAlias = Annotated[
    RunPipelineInput, strawberry.argument(name="input", description="The run.")
]

OnlyUser: TypeAlias = Annotated[
    strawberry.ID | None, strawberry.argument(description="Only those of this account.")
]
OnlyStatus: TypeAlias = Annotated[
    JobStatus | None, strawberry.argument(description="Only those that stand here.")
]
OnlyModel: TypeAlias = Annotated[
    strawberry.ID | None, strawberry.argument(description="Only those that train this model.")
]
OnlyDataset: TypeAlias = Annotated[
    strawberry.ID | None, strawberry.argument(description="Only those that train on this dataset.")
]


@strawberry.type
class TrainingQueries:
    @strawberry.field(
        description="What `runPipeline` would say to this input, all at once; starts nothing.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def validate_config(self, info: Info, sent: Pipeline) -> ConfigValidation:
        service = info.context.service
        validation = await lifecycle.validate(
            info.context.viewer,
            sent.request(),
            settings=service.settings,
            dry_runs=service.dry_runs,
        )
        return ConfigValidation.of(validation)

    @strawberry.field(
        description="One job; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_training_status(self, info: Info, job_id: JobId) -> TrainingJob | None:
        key = ids.decode(ids.Kind.JOB, job_id)
        return TrainingJob.of(await lifecycle.get(info.context.viewer, key))

    @strawberry.field(
        description="Your jobs, newest first; everybody's for an ADMIN.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def list_training_jobs(  # noqa: PLR0913  # each is an argument of the API
        self,
        info: Info,
        user_id: OnlyUser = None,
        status: OnlyStatus = None,
        model_id: OnlyModel = None,
        dataset_id: OnlyDataset = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[TrainingJob]:
        rows = await lifecycle.listing(
            info.context.viewer,
            Page.of(first, after),
            user_id=None if user_id is None else ids.decode(ids.Kind.USER, user_id),
            status=status,
            model_id=None if model_id is None else ids.decode(ids.Kind.MODEL, model_id),
            dataset_id=None if dataset_id is None else ids.decode(ids.Kind.DATASET, dataset_id),
        )
        return connection(rows, TrainingJob.of, after=after)


@strawberry.type
class TrainingMutations:
    @strawberry.mutation(
        description="Queue a training run, in short form.", extensions=[Requires(Role.TRAINER)]
    )
    async def start_training(
        self,
        info: Info,
        sent: Annotated[
            StartTrainingInput, strawberry.argument(name="input", description="The run.")
        ],
    ) -> StartTrainingResult:
        try:
            return await _submit(info, sent.request())
        except InvalidInput as error:
            raise InvalidInput(error.message, [*map(in_short_form, error.findings)]) from error

    @strawberry.mutation(
        description="Queue a training run, with everything that can be chosen.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def run_pipeline(self, info: Info, sent: Pipeline) -> StartTrainingResult:
        return await _submit(info, sent.request())


async def _submit(info: Info, request: lifecycle.RunRequest) -> TrainingJob:
    service = info.context.service
    row = await lifecycle.submit(
        info.context.viewer,
        request,
        settings=service.settings,
        queue=service.queue,
        dry_runs=service.dry_runs,
    )
    return TrainingJob.of(row)
