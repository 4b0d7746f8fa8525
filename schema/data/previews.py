"""A dataset as a run would see it: text and tokens, before anything is started."""

import dataclasses
from typing import Annotated, TypeAlias

import strawberry

from jobs.preview import previews
from schema import ids, numbered
from schema.context import Info
from schema.enums import Role, TrainOn
from schema.pagination import After, Connection
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem
from training.preview.questions import MOST_RECORDS, MOST_TOKENS
from training.preview.questions import PreviewedRecord as Stored

__all__ = ["PreviewQueries", "PreviewedRecord"]


@strawberry.input(description="How to render; what is left out takes a run's default.")
class PreviewOptionsInput:
    chat_template: str | None = strawberry.field(
        default=None,
        description="A template's name, such as CHATML, or its text in Jinja; the model's own, if "
        "left out.",
    )
    train_on: TrainOn | None = strawberry.field(
        default=None, description="Which part of a record is trained; ASSISTANT by default."
    )
    max_sequence_length: int | None = strawberry.field(
        default=None, description="Longer examples are cut to so many tokens; 1024 by default."
    )


@strawberry.type(description="A token of a record.")
class PreviewedToken:
    id: int = strawberry.field(description="Its number in the model's vocabulary.")
    text: str = strawberry.field(
        description="What it adds to the text; empty, where a character is not whole yet."
    )
    trained: bool = strawberry.field(description="Whether the model learns to say it.")


@strawberry.type(description="A record in tokens, exactly as the training loop would see it.")
class PreviewedRecord:
    line: int = strawberry.field(description="Its place in the dataset, from 1.")
    text: str = strawberry.field(description="What the shown tokens say together.")
    tokens: list[PreviewedToken] = strawberry.field(
        description=f"Its tokens in order, at most {MOST_TOKENS} of them."
    )
    tokens_cut: bool = strawberry.field(
        description=f"Whether there are more than the {MOST_TOKENS} tokens that are shown."
    )
    token_count: int = strawberry.field(description="All its tokens, however long it is.")
    trained_token_count: int = strawberry.field(
        description="Tokens that are trained, within `maxSequenceLength`; a record without any is "
        "not trained on."
    )
    truncated: bool = strawberry.field(
        description="Whether it is longer than `maxSequenceLength`, and only its beginning is seen."
    )

    @classmethod
    def of(cls, record: Stored) -> "PreviewedRecord":
        tokens = zip(record.token_ids, record.token_texts, record.trained, strict=True)
        return cls(
            line=record.line,
            text="".join(record.token_texts),
            tokens=[
                PreviewedToken(id=i, text=text, trained=trained) for i, text, trained in tokens
            ],
            tokens_cut=record.tokens_cut,
            token_count=record.token_count,
            trained_token_count=record.trained_token_count,
            truncated=record.truncated,
        )


@strawberry.type(description="Records of a dataset as a run would see them.")
class DatasetPreview:
    chat_template: str | None = strawberry.field(
        description="The text of the template; null where there is none and none is needed."
    )
    stop_tokens: list[str] = strawberry.field(
        description="The tokens at which the trained model will stop to generate."
    )
    records: Connection[PreviewedRecord] = strawberry.field(description="The records, in order.")


PreviewDatasetResult: TypeAlias = Annotated[
    DatasetPreview | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union(
        "PreviewDatasetResult", description="The preview, or why a run would come to nothing."
    ),
]


@strawberry.type
class PreviewQueries:
    @strawberry.field(
        description="A dataset's records rendered and tokenised for a model, and which tokens would "
        "be trained. The first preview after a while takes a second more.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def preview_dataset(
        self,
        info: Info,
        dataset_id: Annotated[strawberry.ID, strawberry.argument(description="A dataset's id.")],
        model_id: Annotated[
            strawberry.ID, strawberry.argument(description="The model to train; it must be READY.")
        ],
        first: Annotated[
            int, strawberry.argument(description=f"How many records: 1 to {MOST_RECORDS}.")
        ] = 3,
        after: After = None,
        options: Annotated[
            PreviewOptionsInput | None, strawberry.argument(description="How to render.")
        ] = None,
    ) -> PreviewDatasetResult:
        given = dataclasses.asdict(options) if options else {}
        request = previews.PreviewRequest(
            dataset_id=ids.decode(ids.Kind.DATASET, dataset_id),
            model_id=ids.decode(ids.Kind.MODEL, model_id),
            first=first,
            after_line=numbered.start(first, after),
            choices={name: value for name, value in given.items() if value is not None},
        )
        service = info.context.service
        shown = await previews.preview(
            info.context.viewer, request, artifacts=service.artifacts, companion=service.previews
        )
        rows = [(each.line, PreviewedRecord.of(each)) for each in shown.preview.records]
        return DatasetPreview(
            chat_template=shown.preview.chat_template,
            stop_tokens=list(shown.preview.stop_tokens),
            records=numbered.connection(rows, after=after, total=shown.dataset.record_count),
        )
