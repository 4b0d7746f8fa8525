"""The version in production: one at a time, with a history, a gate and a way back."""

import asyncio
from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.errors import Conflict, Forbidden, InUse, InvalidInput, NotFound, TuneryError
from jobs.models import Activation, AuditEntry, BaseModel, Export, ModelVersion, TrainingJob
from jobs.pages import Page
from jobs.registry import activation, versions
from jobs.registry.activation import Wish
from jobs.runs import lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.runs.starts import StartRequest
from jobs.service import Service
from jobs.status import ActivationKind, VersionStatus
from tests.api.rows import make_export
from tests.factories import make_dataset, make_model, make_viewer
from tests.jobs.stage import RESULT
from training.config import StartKind, TrainingType

LOSSES = (0.6, 0.5, 0.7)


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


@pytest.fixture
async def model(viewer: Viewer) -> BaseModel:
    return await make_model(viewer)


async def made(
    viewer: Viewer, service: Service, model: BaseModel, *losses: float | None, **choices: Any
) -> list[ModelVersion]:
    """Versions of a model by their losses, each of a job with the same data and config."""
    dataset = await make_dataset(viewer, service)
    found = []
    before = await ModelVersion.filter(model_id=model.id).count()
    for number, loss in enumerate(losses, before):
        request = RunRequest(model.id, dataset.id, TrainingType.LORA, choices)
        job = await lifecycle.submit(
            viewer, request, settings=service.settings, queue=service.queue
        )
        result = RESULT.model_copy(
            update={"validation_loss": loss, "validation_accuracy": loss and 1 - loss}
        )
        folder = service.artifacts.job(job.id) / "model"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"12345")
        version = await ModelVersion.create(
            model_id=model.id,
            job_id=job.id,
            version=f"v1.{number}.0",
            status=VersionStatus.READY,
            accuracy=result.validation_accuracy,
            path=service.artifacts.relative(folder),
            config=job.config,
            result=result.model_dump(mode="json"),
            owner_id=viewer.user_id,
        )
        found.append(version)
    return found


async def statuses(model: BaseModel) -> list[str]:
    rows = await ModelVersion.filter(model_id=model.id).order_by("version")
    return [row.status.value for row in rows]


async def test_one_version_is_active_and_rollbacks_go_back_one_by_one(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    first, second, third = await made(viewer, service, model, *LOSSES)
    for version in (first, second, third):
        await activation.activate(viewer, version.id, Wish(f"try {version.version}"))
    assert await statuses(model) == ["DEPRECATED", "DEPRECATED", "ACTIVE"]
    back = await activation.roll_back(viewer, model.name, "too slow")
    assert (back.kind, back.version_id, back.number) == (ActivationKind.ROLLBACK, second.id, 4)
    assert await statuses(model) == ["DEPRECATED", "ACTIVE", "DEPRECATED"]
    await activation.roll_back(viewer, model.name, None)
    assert await statuses(model) == ["ACTIVE", "DEPRECATED", "DEPRECATED"]
    with pytest.raises(Conflict, match="no version"):
        await activation.roll_back(viewer, model.name, None)
    changes = (await activation.history(viewer, model.name, Page())).rows
    assert [(each.number, each.version_name, each.reason) for each in changes] == [
        (5, "v1.0.0", None),
        (4, "v1.1.0", "too slow"),
        (3, "v1.2.0", "try v1.2.0"),
        (2, "v1.1.0", "try v1.1.0"),
        (1, "v1.0.0", "try v1.0.0"),
    ]
    assert {each.actor_id for each in changes} == {viewer.user_id}
    assert changes[0].previous_id == second.id
    assert await AuditEntry.filter(action="rollbackModel").count() == 2


async def test_after_a_rollback_an_activation_lies_upon_what_is_there(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    first, second, third = await made(viewer, service, model, *LOSSES)
    await activation.activate(viewer, first.id, Wish())
    await activation.activate(viewer, second.id, Wish())
    await activation.roll_back(viewer, model.name, None)
    await activation.activate(viewer, third.id, Wish())
    assert (await activation.roll_back(viewer, model.name, None)).version_id == first.id


async def test_a_rollback_passes_over_a_version_that_was_deleted(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    first, second, third = await made(viewer, service, model, *LOSSES)
    for version in (first, second, third):
        await activation.activate(viewer, version.id, Wish())
    await versions.delete(viewer, second.id, artifacts=service.artifacts)
    assert (await activation.roll_back(viewer, model.name, None)).version_id == first.id
    kept = await Activation.get(model_id=model.id, number=2)
    assert (kept.version_id, kept.version_name) == (None, "v1.1.0")


async def test_of_many_at_once_one_is_done_and_the_others_are_told(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    found = await made(viewer, service, model, *LOSSES)
    asked = [activation.activate(viewer, version.id, Wish()) for version in found]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, TuneryError)]
    assert all(isinstance(each, Conflict) for each in refused)
    active = await ModelVersion.filter(model_id=model.id, status=VersionStatus.ACTIVE)
    numbers = await Activation.filter(model_id=model.id).order_by("number")
    assert len(active) == 1
    assert [each.number for each in numbers] == list(range(1, len(answers) - len(refused) + 1))
    assert numbers[-1].version_id == active[0].id


async def test_who_expects_another_version_changes_nothing(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    first, second, third = await made(viewer, service, model, *LOSSES)
    await activation.activate(viewer, first.id, Wish())
    with pytest.raises(Conflict, match=r"is v1\.0\.0, not the expected one"):
        await activation.activate(viewer, third.id, Wish(expected_id=second.id))
    with pytest.raises(Conflict, match="ACTIVE already"):
        await activation.activate(viewer, first.id, Wish())
    await activation.activate(viewer, third.id, Wish(expected_id=first.id))
    assert await statuses(model) == ["DEPRECATED", "READY", "ACTIVE"]


async def test_what_is_somebody_elses_is_not_replaced_and_not_seen(
    service: Service, viewer: Viewer
) -> None:
    model = await make_model(await make_viewer(Role.ADMIN))
    (mine,) = await made(viewer, service, model, 0.6)
    await activation.activate(viewer, mine.id, Wish())
    other = await make_viewer()
    (theirs,) = await made(other, service, model, 0.5)
    with pytest.raises(NotFound):
        await activation.activate(other, mine.id, Wish())
    with pytest.raises(Forbidden):
        await activation.activate(other, theirs.id, Wish())
    assert (await activation.history(other, model.name, Page())).rows == []
    with pytest.raises(Forbidden):
        await activation.set_gate(other, model.name, None)
    admin = await make_viewer(Role.ADMIN)
    await activation.activate(admin, theirs.id, Wish())
    assert await statuses(model) == ["DEPRECATED", "ACTIVE"]


async def test_a_gate_keeps_back_what_is_measured_to_be_worse(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    first, second, third = await made(viewer, service, model, *LOSSES, validation_split=0.2)
    await activation.set_gate(viewer, model.name, {"min_accuracy": 0.35, "not_worse": True})
    await activation.activate(viewer, first.id, Wish())
    with pytest.raises(InvalidInput) as refused:
        await activation.activate(viewer, third.id, Wish())
    assert [(each.code, each.message) for each in refused.value.findings] == [
        (
            "ACCURACY_BELOW_GATE",
            "Version v1.2.0 has an accuracy of 0.3; the gate asks for at least 0.35.",
        ),
        (
            "WORSE_THAN_ACTIVE",
            "Version v1.2.0 has a validation loss of 0.7; that of v1.0.0, which is ACTIVE, is 0.6 on "
            "the same rows.",
        ),
    ]
    await activation.activate(viewer, second.id, Wish())
    with pytest.raises(InvalidInput, match="takes a reason"):
        await activation.activate(viewer, third.id, Wish(force=True))
    forced = await activation.activate(viewer, third.id, Wish("a hotfix", force=True))
    assert forced.forced
    assert not (await Activation.get(model_id=model.id, number=2)).forced


async def test_what_cannot_be_compared_does_not_pass(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    (first,) = await made(viewer, service, model, 0.6, validation_split=0.2)
    (second,) = await made(viewer, service, model, 0.5, validation_split=0.3)
    (third,) = await made(viewer, service, model, None)
    await activation.activate(viewer, first.id, Wish())
    await activation.set_gate(viewer, model.name, {"not_worse": True, "max_loss": 0.55})
    for version, codes in ((second, ["NOT_COMPARABLE"]), (third, ["LOSS_ABOVE_GATE"])):
        with pytest.raises(InvalidInput) as refused:
            await activation.activate(viewer, version.id, Wish())
        found = [each.code for each in refused.value.findings]
        assert found[: len(codes)] == codes
        assert "NOT_COMPARABLE" in found


@pytest.mark.parametrize("bounds", [{"min_accuracy": 1.5}, {"max_loss": float("nan")}])
async def test_a_gate_is_of_numbers_that_make_sense(
    viewer: Viewer, model: BaseModel, bounds: dict[str, float]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await activation.set_gate(viewer, model.name, bounds)
    assert [each.code for each in refused.value.findings] == ["OUT_OF_RANGE"]
    assert (await BaseModel.get(id=model.id)).gate is None


async def test_a_version_is_deleted_with_its_files_and_exports(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    first, second, _ = await made(viewer, service, model, *LOSSES)
    export = await make_export(viewer, service, second)
    await activation.activate(viewer, first.id, Wish())
    with pytest.raises(Conflict, match=r"v1\.0\.0 is ACTIVE"):
        await versions.delete(viewer, first.id, artifacts=service.artifacts)
    freed = sum(
        file.stat().st_size
        for folder in (service.artifacts.export(export.id), service.artifacts.root / second.path)
        for file in folder.rglob("*")
        if file.is_file()
    )
    deleted = await versions.delete(viewer, second.id, artifacts=service.artifacts)
    assert (deleted.exports, deleted.freed_bytes) == (1, freed)
    assert not (service.artifacts.root / second.path).exists()
    assert not service.artifacts.export(export.id).exists()
    assert await Export.filter(version_id=second.id).count() == 0
    assert await TrainingJob.exists(id=second.job_id)
    with pytest.raises(NotFound):
        await versions.delete(viewer, second.id, artifacts=service.artifacts)


async def test_a_version_from_which_a_job_starts_stays(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    (version,) = await made(viewer, service, model, 0.6)
    dataset = await make_dataset(viewer, service)
    start = StartRequest(StartKind.VERSION, version.id)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, {}, start)
    await TrainingJob.filter(id=version.job_id).update(status="COMPLETED")
    job = await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
    with pytest.raises(InUse) as refused:
        await versions.delete(viewer, version.id, artifacts=service.artifacts)
    assert refused.value.job_ids == (job.id,)
    assert await ModelVersion.exists(id=version.id)


async def test_two_versions_are_compared_by_config_data_and_rows(
    service: Service, viewer: Viewer, model: BaseModel
) -> None:
    (first,) = await made(viewer, service, model, 0.6, validation_split=0.2)
    (second,) = await made(viewer, service, model, 0.5, validation_split=0.3, lora_rank=4)
    found = await versions.compare(viewer, first.id, second.id)
    assert [(each.path, each.a, each.b) for each in found.differences] == [
        (("hyperparameters", "loraRank"), 16, 4),
        (("hyperparameters", "loraAlpha"), 32, 8),
        (("data", "validationSplit"), 0.2, 0.3),
    ]
    assert (found.same_data, found.same_rows) == (True, False)
    same = await versions.compare(viewer, first.id, first.id)
    assert (same.differences, same.same_rows) == ((), True)
