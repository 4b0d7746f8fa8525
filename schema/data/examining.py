"""Having a dataset examined: the root field."""

from typing import Annotated, TypeAlias

import strawberry

from jobs.models import Dataset as DatasetRow
from jobs.preview import examining
from schema import ids
from schema.context import Info
from schema.data.datasets import Dataset
from schema.data.token_examinations import TokenExamination
from schema.enums import Role, TrainOn
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem

__all__ = ["ExaminationMutations"]


@strawberry.input(
    description="What to look at: a dataset's records as they are or, with a model, the rows of tokens "
    "that they become. What is left out takes a run's default."
)
class ExamineDatasetInput:
    dataset_id: strawberry.ID = strawberry.field(description="The dataset; it must be READY.")
    model_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose tokens; it must be READY. The records alone, if left out."
    )
    chat_template: str | None = strawberry.field(
        default=None,
        description="A template's name, such as CHATML, or its text in Jinja; the model's own, if "
        "left out.",
    )
    train_on: TrainOn | None = strawberry.field(
        default=None, description="Which part of a record is trained; ASSISTANT by default."
    )
    max_sequence_length: int | None = strawberry.field(
        default=None, description="The limit to compare rows with, in tokens; 1024 by default."
    )

    def request(self) -> examining.ExaminationRequest:
        options = {
            "chat_template": self.chat_template,
            "train_on": self.train_on,
            "max_sequence_length": self.max_sequence_length,
        }
        model_id = self.model_id
        return examining.ExaminationRequest(
            dataset_id=ids.decode(ids.Kind.DATASET, self.dataset_id),
            model_id=None if model_id is None else ids.decode(ids.Kind.MODEL, model_id),
            choices={name: value for name, value in options.items() if value is not None},
        )


ExamineDatasetResult: TypeAlias = Annotated[
    Dataset | TokenExamination | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union(
        "ExamineDatasetResult",
        description="The dataset, whose `examination` tells of its records, or the examination of its "
        "tokens, or why there is none.",
    ),
]


@strawberry.type
class ExaminationMutations:
    @strawberry.mutation(
        description="Have a worker look at a dataset before a run is paid for. With a model, at its rows "
        "of tokens: asked again, it gives the same examination, which is queued again only if it "
        "FAILED. Without one, the look that was taken at its records is taken again, if that "
        "FAILED, or if what was found of each record is not kept, as before that was done.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def examine_dataset(
        self,
        info: Info,
        sent: Annotated[
            ExamineDatasetInput, strawberry.argument(name="input", description="What to look at.")
        ],
    ) -> ExamineDatasetResult:
        service = info.context.service
        found = await examining.examine(
            info.context.viewer,
            sent.request(),
            artifacts=service.artifacts,
            queue=service.queue,
        )
        return Dataset.of(found) if isinstance(found, DatasetRow) else TokenExamination.of(found)
