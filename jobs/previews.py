"""A dataset as a run would see it, token for token, before there is a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from jobs import datasets, registry
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.companion import Companion, Unanswered
from jobs.errors import Conflict, InvalidInput, TuneryError
from jobs.models import Dataset
from training.config import TrainingConfig, TrainingType, resolve
from training.events import Failure
from training.limits import beyond_limits
from training.models.facts import ModelFacts
from training.preview.questions import MOST_RECORDS, Kind, Preview, PreviewQuestion
from training.templates.checks import OF_THE_TEMPLATE, template_findings
from training.validation import Finding, Severity

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
    model = await registry.get(viewer, request.model_id)
    registry.refuse_unready(model)
    facts = ModelFacts.model_validate(model.facts)
    config = _config(request.choices, facts, dataset)
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


def _config(choices: Mapping[str, object], facts: ModelFacts, dataset: Dataset) -> TrainingConfig:
    """The choices of a run with every default. Raises InvalidInput with what a run would be told."""
    usual = TrainingConfig.model_fields["max_sequence_length"].default
    longest = {"max_sequence_length": min(usual, facts.context_length or usual)}
    try:
        config = resolve(TrainingType.LORA, longest | dict(choices))
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(map(str, first["loc"]))
        raise InvalidInput.at(
            ("options", *place), first["msg"], code="WRONG_TYPE", remedy="Send another value."
        ) from error
    limits = beyond_limits(
        config, context_length=facts.context_length, layer_count=facts.layer_count
    )
    unfit = template_findings(
        config, dataset.data_type, own=facts.has_chat_template, supported=facts.chat_templates
    )
    errors = [each for each in (*limits, *unfit) if each.severity is Severity.ERROR]
    if errors:
        raise InvalidInput("The records cannot be rendered so.", [_of_option(e) for e in errors])
    return config


def _of_option(finding: Finding) -> Finding:
    """A run's finding in the words of a preview's input, which has all options beside one another."""
    name = finding.path[-1]
    patch: object = finding.suggested_patch
    for key in finding.path:
        patch = patch.get(key) if isinstance(patch, dict) else None
    return finding.model_copy(
        update={
            "path": ("options", name),
            "suggested_patch": finding.suggested_patch and {"options": {name: patch}},
        }
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
