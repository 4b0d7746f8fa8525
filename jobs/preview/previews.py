"""A dataset as a run would see it, token for token, before there is a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.data import datasets
from jobs.errors import Conflict, InvalidInput, TuneryError
from jobs.models import Dataset
from jobs.preview.rendering_options import rendering_config
from jobs.processes.companion import Companion, Unanswered
from jobs.registry import base_models
from training.events import Failure
from training.models.facts import ModelFacts
from training.preview.questions import MOST_RECORDS, Kind, Preview, PreviewQuestion
from training.templates.checks import OF_THE_TEMPLATE

__all__ = ["MODULE", "PreviewRequest", "Previewed", "preview"]

MODULE: Final = "training.preview.child"


@dataclass(frozen=True)
class PreviewRequest:
    """What somebody wants to see. `choices` maps `chat_template`, `train_on` and
    `max_sequence_length` to what was chosen of them."""

    dataset_id: UUID
    model_id: UUID
    first: int
    after_line: int
    choices: Mapping[str, object]


@dataclass(frozen=True)
class Previewed:
    """The records of a dataset, and the dataset."""

    preview: Preview
    dataset: Dataset


async def preview(
    viewer: Viewer, request: PreviewRequest, *, artifacts: Artifacts, companion: Companion
) -> Previewed:
    """The records as the training loop sees them. Raises NotFound, Conflict for a model that is not
    ready, InvalidInput for what a run would be refused for or fail over, Unavailable."""
    _refuse_too_many(request.first)
    dataset = await datasets.get(viewer, request.dataset_id)
    model = await base_models.get(viewer, request.model_id)
    base_models.refuse_unready(model)
    facts = ModelFacts.model_validate(model.facts)
    config = rendering_config(request.choices, facts, dataset.data_type, within=("options",))
    question = PreviewQuestion(
        model_path=model.source,
        dataset_path=str(artifacts.records(dataset.id)),
        data_type=dataset.data_type,
        after_line=request.after_line,
        count=request.first,
        chat_template=config.chat_template,
        train_on=config.train_on,
        max_sequence_length=config.max_sequence_length,
    )
    try:
        answer = await companion.ask(Kind.PREVIEW, question, Preview)
    except Unanswered as error:
        raise _refusal(error.failure) from error
    return Previewed(answer, dataset)


def _refuse_too_many(first: int) -> None:
    if not 1 <= first <= MOST_RECORDS:
        raise InvalidInput.at(
            ["first"],
            f"first is {first}, but a preview shows 1 to {MOST_RECORDS} records.",
            code="PAGE_SIZE_OUT_OF_RANGE",
            remedy=f"Ask for at most {MOST_RECORDS}, and go on with after.",
        )


def _refusal(failure: Failure) -> TuneryError | RuntimeError:
    """Why there is no preview, as something the caller can act upon where it is that."""
    if failure.code in OF_THE_TEMPLATE:
        return InvalidInput.at(
            ["options", "chatTemplate"],
            failure.message,
            code=failure.code,
            remedy=failure.remedy or "Choose another template.",
        )
    if failure.remedy is not None:
        return Conflict(failure.message, failure.remedy)
    return RuntimeError(f"{failure.code}: {failure.message}")
