"""A training job from the user's side: validate, submit, look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from pydantic import ValidationError
from tortoise.expressions import Q

from jobs import audit
from jobs.access import Viewer, visible
from jobs.data import datasets, examinations, held_out
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.fleet.workers import NO_WORKER_HAS_DEVICES, device_finding, roomiest
from jobs.models import BaseModel, Dataset, TrainingJob
from jobs.pages import Page, Slice, newest_first
from jobs.preview.dry_runs import NOT_ASKED, DryRun, DryRuns
from jobs.preview.run_examinations import with_examinations
from jobs.queue import Queue, Work
from jobs.registry import base_models
from jobs.runs import starts
from jobs.runs.earlier import earlier_run
from jobs.runs.forecasts import NOTHING_FORESEEN, Forecast, Surroundings
from jobs.runs.history import STATUS_CHANGED, Entry, append
from jobs.runs.starts import Origin, StartRequest
from jobs.settings import Settings
from jobs.status import JobStatus, TaskStatus
from training.compatibility import decided_by, inherited
from training.config import StartKind, TrainingConfig, TrainingType, resolve
from training.findings import apply, combined_patch, in_order
from training.held_out import VALIDATION_DATASET
from training.models.facts import ModelFacts
from training.validation import Finding, Severity, check

__all__ = ["RunRequest", "Validation", "get", "listing", "queue_position", "submit"]


@dataclass(frozen=True)
class RunRequest:
    """What somebody wants trained. `choices` maps fields of `TrainingConfig` to chosen values."""

    model_id: UUID
    dataset_id: UUID
    training_type: TrainingType
    choices: Mapping[str, object]
    start: StartRequest | None = None
    """Where to start from; at the base model's own weights, where left out."""
    validation_dataset_id: UUID | None = None
    """A dataset to test with; a share of the other, where left out."""


@dataclass(frozen=True)
class Validation:
    """Everything that can be said of a request before it is started."""

    findings: tuple[Finding, ...]
    config: TrainingConfig | None
    forecast: Forecast = NOTHING_FORESEEN
    """What is known of its size, where it can run."""
    dry_run: DryRun = NOT_ASKED
    """What is known of its records in tokens, where nothing else is in their way."""

    @property
    def valid(self) -> bool:
        """Whether the run would be accepted."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)


async def validate(
    viewer: Viewer, request: RunRequest, *, settings: Settings, dry_runs: DryRuns | None = None
) -> Validation:
    """What `submit` would say, all at once, without starting anything."""
    try:
        named = await _find(viewer, request)
    except NotFound as error:
        message = f"There is no {error.kind} with this id that you can see."
        remedy = "Choose one of those that are listed to you."
        return Validation((_error("NOT_FOUND", _PLACES[error.kind], message, remedy),), None)
    validation = await _judge(viewer, request, named, settings=settings, dry_runs=dry_runs)
    try:
        base_models.refuse_unready(named.model)
    except Conflict as error:
        unready = _error("MODEL_NOT_READY", ("modelId",), error.message, error.remedy or "")
        return replace(validation, findings=(unready, *validation.findings))
    return validation


async def submit(
    viewer: Viewer,
    request: RunRequest,
    *,
    settings: Settings,
    queue: Queue,
    dry_runs: DryRuns | None = None,
) -> TrainingJob:
    """Queue a job. Raises NotFound, Conflict for a model that is not ready, InvalidInput.

    Where there are `dry_runs`, it is refused for what its records say, too.
    The row is committed before a worker is told of it, so that a lost message loses no job.
    """
    named = await _find(viewer, request)
    base_models.refuse_unready(named.model)
    validation = await _judge(viewer, request, named, settings=settings, dry_runs=dry_runs)
    if not validation.valid or validation.config is None:
        raise InvalidInput("The configuration cannot run.", validation.findings)
    async with transaction():
        job = await _insert(viewer, named, validation)
    await queue.enqueue(Work.TRAIN, job.id, attempt=1)
    return job


async def get(viewer: Viewer, job_id: UUID) -> TrainingJob:
    """A job that the viewer may see; NotFound otherwise."""
    job = await visible(viewer, TrainingJob.filter(id=job_id)).first()
    if job is None:
        raise NotFound("job", job_id)
    return job


async def listing(
    viewer: Viewer,
    page: Page,
    *,
    user_id: UUID | None = None,
    status: JobStatus | None = None,
    model_id: UUID | None = None,
    dataset_id: UUID | None = None,
) -> Slice[TrainingJob]:
    """The viewer's jobs, newest first."""
    wanted = {
        "owner_id": user_id,
        "status": status,
        "model_id": model_id,
        "dataset_id": dataset_id,
    }
    filters = {column: value for column, value in wanted.items() if value is not None}
    return await newest_first(visible(viewer, TrainingJob.filter(**filters)), page)


async def queue_position(job: TrainingJob) -> int | None:
    """How many jobs will be taken before this one, and one more; null unless it is QUEUED."""
    if job.status is not JobStatus.QUEUED:
        return None
    earlier = Q(queued_at__lt=job.queued_at) | Q(queued_at=job.queued_at, id__lt=job.id)
    return 1 + await TrainingJob.filter(earlier, status=JobStatus.QUEUED).count()


_PLACES: Final = {
    "model": ("modelId",),
    "dataset": ("datasetId",),
    "validation dataset": VALIDATION_DATASET,
    "model version": ("from", "versionId"),
    "checkpoint": ("from", "checkpointId"),
}
"""Where in the input a thing is named."""


@dataclass(frozen=True)
class _Named:
    """What a request names."""

    model: BaseModel
    dataset: Dataset
    held_out: Dataset | None
    origin: Origin | None


async def _find(viewer: Viewer, request: RunRequest) -> _Named:
    return _Named(
        model=await base_models.get(viewer, request.model_id),
        dataset=await datasets.get(viewer, request.dataset_id),
        held_out=await held_out.find(viewer, request.validation_dataset_id),
        origin=await starts.find(viewer, request.start) if request.start else None,
    )


async def _judge(
    viewer: Viewer,
    request: RunRequest,
    named: _Named,
    *,
    settings: Settings,
    dry_runs: DryRuns | None,
) -> Validation:
    model, dataset, origin = named.model, named.dataset, named.origin
    facts = ModelFacts.model_validate(model.facts) if model.facts else None
    shape = inherited(origin.config) if origin else {}
    chosen = _defaults(settings, facts) | shape | dict(request.choices)
    if named.held_out is not None:
        chosen["validation_split"] = request.choices.get("validation_split", 0.0)
    unready = (*datasets.unready_findings(dataset), *held_out.unready_findings(named.held_out))
    try:
        config = resolve(request.training_type, chosen)
    except ValidationError as error:
        return Validation((*unready, *(_as_finding(item) for item in error.errors())), None)
    if unready or dataset.data_type is None:
        return Validation(unready, config)  # nothing more is known of it
    place = await roomiest(config.devices, settings.lease_seconds)
    around = Surroundings(facts, dataset, place, held_out=named.held_out)
    held = decided_by(origin.config) if origin else ()
    unfit = starts.findings(origin, model.id, config) if origin else ()
    waiting = await device_finding(config, settings.lease_seconds)
    found = check(config, around.run_facts(held), around.memory_estimator())
    noted = await examinations.findings(dataset.id)
    known = (*unfit, *found, *noted, *([waiting] if waiting else []))
    dry_run = await _dry_run(named, config, known, dry_runs)
    findings = in_order(dry_run.beside(known))
    validation = Validation(tuple(findings), config, dry_run=dry_run)
    if not validation.valid:
        return validation
    earlier = None
    if place is not None and dataset.sha256 is not None:
        earlier = await earlier_run(
            viewer, model.id, config, dataset_sha256=dataset.sha256, worker=place.worker
        )
    return replace(validation, forecast=around.forecast(config, earlier).counted(dry_run.rows))


async def _dry_run(
    named: _Named, config: TrainingConfig, known: Sequence[Finding], dry_runs: DryRuns | None
) -> DryRun:
    """What the records say of the config that the patches of its errors leave, so that what they
    say is said at once, and not after those were followed."""
    errors = [each for each in known if each.severity is Severity.ERROR]
    if dry_runs is None or any(each.suggested_patch is None for each in errors):
        return NOT_ASKED
    if named.model.status is not TaskStatus.READY:
        return NOT_ASKED
    origin = named.origin
    model: BaseModel | None = named.model
    if origin is not None and origin.kind is StartKind.VERSION and not origin.config.adapts:
        model = None
    repaired = apply(config, combined_patch(errors))
    dataset, tested = named.dataset, named.held_out
    found = await dry_runs.look(model, repaired, dataset=dataset, held_out=tested)
    if model is None:
        return found
    return await with_examinations(found, model.id, repaired, dataset=dataset, held_out=tested)


def _defaults(settings: Settings, facts: ModelFacts | None) -> dict[str, object]:
    """The operator's defaults, and rows no longer than the model can take."""
    usual = TrainingConfig.model_fields["max_sequence_length"].default
    longest = (facts.context_length if facts else None) or usual
    return {"max_sequence_length": min(usual, longest)} | settings.run_defaults()


def _as_finding(error: Mapping[str, object]) -> Finding:
    location = error["loc"]
    path = tuple(map(str, location)) if isinstance(location, tuple) else ()
    message = f"{'.'.join(path)}: {error['msg']} (was {error.get('input')!r})."
    return _error("WRONG_TYPE", path, message, "Send a value of the type that the schema names.")


def _error(code: str, path: tuple[str, ...], message: str, remedy: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=path,
        message=message,
        remedy=remedy,
        suggested_patch=None,
    )


async def _insert(viewer: Viewer, named: _Named, validation: Validation) -> TrainingJob:
    config, model, origin = validation.config, named.model, named.origin
    assert config is not None  # noqa: S101 - a valid one has
    await held_out.hold(named.dataset, named.held_out)
    if origin is not None:
        await starts.hold(origin)
    job = await TrainingJob.create(
        model_id=model.id,
        config=config.model_dump(mode="json"),
        devices=config.devices,
        total_epochs=config.epochs,
        owner_id=viewer.user_id,
        **await held_out.columns(named.dataset, named.held_out),
        **(origin.columns() if origin else {}),
    )
    created = Entry(STATUS_CHANGED, {"from": None, "to": JobStatus.QUEUED, "reason": "submitted"})
    job.last_seq = await append(job.id, [created, *_warnings(validation)])
    await audit.record(
        viewer, "submitJob", job, job.id, model=model.name, dataset=named.dataset.name
    )
    return job


def _warnings(validation: Validation) -> list[Entry]:
    """What the job's history must say, lest it waits for ever without a word."""
    return [
        Entry("WarningRaised", finding.model_dump(include={"code", "message", "remedy"}))
        for finding in validation.findings
        if finding.code == NO_WORKER_HAS_DEVICES
    ]
