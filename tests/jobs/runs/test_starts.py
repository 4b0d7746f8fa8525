"""Starting a run from a version or a checkpoint: what fits, what does not, and what is remembered."""

from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.data.leaks import NOT_EXAMINED
from jobs.errors import InvalidInput, NotFound
from jobs.models import Checkpoint, ModelVersion, TrainingJob
from jobs.preview.dry_runs import STOPS_UNKNOWN
from jobs.runs import lifecycle, starts
from jobs.runs.cleanup import clean_up
from jobs.runs.lifecycle import RunRequest
from jobs.runs.starts import StartRequest
from jobs.service import Service
from jobs.status import JobStatus
from tests.api.rows import make_completed_job
from tests.factories import make_job
from tests.jobs.stage import attempt, make_viewer, script_job
from training.config import JobSpec, Start, StartKind, TrainingType
from training.findings import Finding, apply, combined_patch


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


@pytest.fixture
async def source(service: Service, viewer: Viewer) -> TrainingJob:
    """A COMPLETED LoRA job of rank 4 with a version and a checkpoint."""
    job = await make_completed_job(viewer, service)
    config = job.config | {"lora_rank": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    await TrainingJob.filter(id=job.id).update(config=config)
    return await TrainingJob.get(id=job.id)


async def _of(source: TrainingJob, kind: StartKind) -> StartRequest:
    table = ModelVersion if kind is StartKind.VERSION else Checkpoint
    return StartRequest(kind, (await table.get(job_id=source.id)).id)


def _request(
    source: TrainingJob,
    start: StartRequest,
    training_type: TrainingType = TrainingType.LORA,
    **choices: Any,
) -> RunRequest:
    assert source.dataset_id is not None
    return RunRequest(source.model_id, source.dataset_id, training_type, choices, start)


async def _submit(viewer: Viewer, service: Service, request: RunRequest) -> TrainingJob:
    return await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)


async def _errors(viewer: Viewer, service: Service, request: RunRequest) -> list[Finding]:
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    found = [each for each in validation.findings if each.code.startswith("START_")]
    if found:
        assert not validation.valid
        with pytest.raises(InvalidInput):
            await _submit(viewer, service, request)
    return found


@pytest.mark.parametrize("kind", list(StartKind))
async def test_a_run_takes_over_the_shape_it_starts_from_and_remembers_where(
    service: Service, viewer: Viewer, source: TrainingJob, kind: StartKind
) -> None:
    start = await _of(source, kind)
    job = await _submit(viewer, service, _request(source, start, learning_rate=1e-4))
    shape = {name: job.config[name] for name in ("lora_rank", "lora_alpha", "target_modules")}
    assert shape == {"lora_rank": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    assert job.config["learning_rate"] == 1e-4
    is_version = kind is StartKind.VERSION
    assert job.start_job_id == source.id
    assert job.start_version_id == (start.key if is_version else None)
    assert job.start_checkpoint_id == (None if is_version else start.key)
    assert job.start_name == ("v1.0.0" if is_version else "epoch-1")
    folder = service.artifacts.job(source.id)
    place = folder / "model" if is_version else folder / "checkpoints" / "epoch-1"
    assert await starts.spec(job, service.artifacts) == Start(
        kind=kind, name=job.start_name, path=str(place)
    )


@pytest.mark.parametrize("chosen", [None, "ZEPHYR"])
async def test_a_run_takes_over_the_template_it_starts_from_unless_it_chooses_one(
    service: Service, viewer: Viewer, source: TrainingJob, chosen: str | None
) -> None:
    config = source.config | {"chat_template": "CHATML"}
    await TrainingJob.filter(id=source.id).update(config=config)
    choices = {} if chosen is None else {"chat_template": chosen}
    start = await _of(source, StartKind.VERSION)
    job = await _submit(viewer, service, _request(source, start, **choices))
    assert job.config["chat_template"] == (chosen or "CHATML")


async def test_nothing_is_advised_of_what_the_start_decides(
    service: Service, viewer: Viewer, source: TrainingJob
) -> None:
    start = await _of(source, StartKind.VERSION)
    request = _request(source, start, learning_rate=0.01, lora_rank=0)
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    about = [(each.code, each.path[-1]) for each in validation.findings]
    assert [each for each in about if "lora" in each[1]] == [("START_INCOMPATIBLE", "loraRank")]
    assert ("UNUSUAL_VALUE", "learningRate") in about
    assert validation.config is not None
    cured = apply(validation.config, combined_patch(validation.findings)).model_dump()
    again = RunRequest(request.model_id, request.dataset_id, TrainingType.LORA, cured, start)
    validation = await lifecycle.validate(viewer, again, settings=service.settings)
    assert validation.valid
    assert validation.config is not None
    assert (validation.config.lora_rank, validation.config.lora_alpha) == (4, 8)


@pytest.mark.usefixtures("scripted")
async def test_the_child_is_told_where_to_start(
    service: Service, viewer: Viewer, source: TrainingJob
) -> None:
    start = await _of(source, StartKind.VERSION)
    job = await _submit(viewer, service, _request(source, start))
    folder = script_job(service, job.id, [["exit", 1]])
    await attempt(service, job.id)
    spec = JobSpec.model_validate_json((folder / "job.json").read_bytes())
    assert spec.start is not None
    assert (spec.start.kind, spec.start.name) == (StartKind.VERSION, "v1.0.0")


async def test_options_that_do_not_fit_are_named_with_a_patch_that_makes_them_fit(
    service: Service, viewer: Viewer, source: TrainingJob
) -> None:
    start = await _of(source, StartKind.VERSION)
    chosen = {"lora_rank": 8, "lora_alpha": 32, "target_modules": ("q_proj", "v_proj")}
    request = _request(source, start, TrainingType.FULL, **chosen)
    found = await _errors(viewer, service, request)
    assert {each.code for each in found} == {"START_INCOMPATIBLE"}
    assert [each.message for each in found] == [
        "trainingType is FULL, but v1.0.0 was trained with LORA.",
        "loraRank is 8, but v1.0.0 was trained with 4.",
        "loraAlpha is 32, but v1.0.0 was trained with 8.",
        "targetModules is q_proj, v_proj, but v1.0.0 was trained with q_proj.",
    ]
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    assert validation.config is not None
    patched = apply(validation.config, combined_patch(found))
    options = patched.model_dump(exclude={"training_type"})
    again = _request(source, start, patched.training_type, **options)
    assert await _errors(viewer, service, again) == []


async def test_another_models_weights_are_no_start(
    service: Service, viewer: Viewer, source: TrainingJob
) -> None:
    other = await make_job(viewer, service)
    start = await _of(source, StartKind.VERSION)
    (found,) = await _errors(viewer, service, _request(other, start))
    assert (found.code, found.path, found.suggested_patch) == (
        "START_INCOMPATIBLE",
        ("from",),
        None,
    )


@pytest.mark.parametrize(
    ("status", "requested", "fits"),
    [
        (JobStatus.TRAINING, False, False),
        (JobStatus.PAUSED, False, False),
        (JobStatus.TRAINING, True, True),
        (JobStatus.CANCELLED, False, True),
        (JobStatus.FAILED, False, True),
    ],
)
async def test_a_checkpoint_that_may_be_deleted_by_its_own_run_is_no_start(
    service: Service,
    viewer: Viewer,
    source: TrainingJob,
    status: JobStatus,
    requested: bool,
    fits: bool,
) -> None:
    await TrainingJob.filter(id=source.id).update(status=status)
    await Checkpoint.filter(job_id=source.id).update(requested=requested)
    start = await _of(source, StartKind.CHECKPOINT)
    found = await _errors(viewer, service, _request(source, start))
    assert [each.code for each in found] == ([] if fits else ["START_NOT_LASTING"])


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (StartKind.VERSION, ("from", "versionId")),
        (StartKind.CHECKPOINT, ("from", "checkpointId")),
    ],
)
async def test_what_others_trained_cannot_be_started_from_but_by_an_admin(
    service: Service, source: TrainingJob, kind: StartKind, place: tuple[str, str]
) -> None:
    stranger, admin = await make_viewer(), await make_viewer(Role.ADMIN)
    own = await make_job(stranger, service)
    await TrainingJob.filter(id=own.id).update(model_id=source.model_id)
    own = await TrainingJob.get(id=own.id)
    request = _request(own, await _of(source, kind))
    validation = await lifecycle.validate(stranger, request, settings=service.settings)
    assert [(each.code, each.path) for each in validation.findings] == [("NOT_FOUND", place)]
    with pytest.raises(NotFound):
        await _submit(stranger, service, request)
    started = await _submit(admin, service, request)
    assert started.start_job_id == source.id


async def test_a_checkpoint_deleted_between_the_look_and_the_submission_is_not_found(
    service: Service, viewer: Viewer, source: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = starts.find

    async def deleted_just_after(*args: Any) -> starts.Origin:
        origin = await find(*args)
        await clean_up(viewer, source.id, 0, artifacts=service.artifacts)
        return origin

    monkeypatch.setattr(starts, "find", deleted_just_after)
    request = _request(source, await _of(source, StartKind.CHECKPOINT))
    with pytest.raises(NotFound):
        await _submit(viewer, service, request)
    assert await TrainingJob.filter(start_job_id=source.id).count() == 0


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
async def test_records_are_not_counted_for_weights_that_may_stop_elsewhere(
    service: Service, viewer: Viewer, source: TrainingJob, method: TrainingType
) -> None:
    config = source.config | {"training_type": method.value}
    await TrainingJob.filter(id=source.id).update(config=config)
    request = _request(source, await _of(source, StartKind.VERSION), method)
    validation = await lifecycle.validate(
        viewer, request, settings=service.settings, dry_runs=service.dry_runs
    )
    assert validation.valid
    whole = method is TrainingType.FULL
    assert (validation.dry_run.unknown == STOPS_UNKNOWN) is whole
    assert validation.dry_run.near_leaks_unknown == NOT_EXAMINED  # which needs no model
    assert ("not on the API's machine" in (validation.dry_run.unknown or "")) is not whole
