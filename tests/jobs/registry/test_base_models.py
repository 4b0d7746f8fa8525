"""Registering base models: which sources are taken from whom."""

from pathlib import Path

import pytest

from jobs.access import Role, Viewer
from jobs.errors import Conflict, Forbidden, InvalidInput, NotFound
from jobs.models import AuditEntry, BaseModel
from jobs.pages import Page
from jobs.queue import QUEUE_NAME
from jobs.registry import base_models, versions
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import make_model
from tests.jobs.stage import make_viewer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What could be a checkpoint."""
    path = tmp_path / "models" / "tiny"
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


async def register(
    service: Service, viewer: Viewer, source: str, roots: tuple[Path, ...] = ()
) -> BaseModel:
    settings = service.settings.model_copy(update={"model_roots": roots})
    return await base_models.register(
        viewer, "tiny", source, settings=settings, queue=service.queue
    )


async def test_an_admin_registers_any_folder(service: Service, folder: Path) -> None:
    admin = await make_viewer(Role.ADMIN)
    model = await register(service, admin, f" {folder}/../tiny ")
    assert (model.status, model.source, model.facts) == (TaskStatus.QUEUED, str(folder), None)
    hints = await service.queue.redis.zrange(QUEUE_NAME, 0, -1)
    assert hints == [f"check_model:{model.id}:1".encode()]
    assert await AuditEntry.filter(action="registerModel", subject_id=model.id).count() == 1


async def test_a_trainer_registers_a_hub_id_or_a_folder_below_an_allowed_root(
    service: Service, folder: Path
) -> None:
    trainer = await make_viewer()
    below = await register(service, trainer, str(folder), roots=(folder.parent,))
    assert below.source == str(folder)
    await below.delete()
    assert (await register(service, trainer, "owner/name-1.5_b")).source == "owner/name-1.5_b"


async def test_a_trainer_learns_nothing_of_folders_outside_the_roots(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    trainer = await make_viewer()
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(folder)
    sources = [str(folder), str(allowed / "link"), f"{allowed}/../models/tiny", "/etc", "/no/such"]
    for source in sources:
        with pytest.raises(Forbidden) as caught:
            await register(service, trainer, source, roots=(allowed,))
        assert caught.value.message == f"Your role may not register the folder {source!r}."
    assert await BaseModel.all().count() == 0


@pytest.mark.parametrize(
    "source", ["", "/no/such", "~nobody-of-this-name/m", "x" * 5000, "a\x00b", "\ud800", "a/b/c"]
)
async def test_what_is_no_source_is_refused(service: Service, source: str) -> None:
    for viewer in (await make_viewer(Role.ADMIN), await make_viewer()):
        with pytest.raises((InvalidInput, Forbidden)):
            await register(service, viewer, source)
    assert await BaseModel.all().count() == 0


@pytest.mark.parametrize("config", [None, "", "[]", "no json"])
async def test_a_folder_without_a_readable_config_is_refused(
    service: Service, folder: Path, config: str | None
) -> None:
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(config)
    with pytest.raises(InvalidInput) as caught:
        await register(service, await make_viewer(Role.ADMIN), str(folder))
    assert [finding.code for finding in caught.value.findings] == ["MODEL_SOURCE"]
    assert await BaseModel.all().count() == 0
    assert await service.queue.redis.zcard(QUEUE_NAME) == 0


async def test_a_name_in_use_is_refused(service: Service) -> None:
    viewer = await make_viewer()
    first = await register(service, viewer, "owner/name")
    with pytest.raises(Conflict):
        await register(service, await make_viewer(), "owner/other")
    assert await BaseModel.all().values_list("id", "source") == [(first.id, "owner/name")]
    assert await AuditEntry.filter(action="registerModel").count() == 1


async def test_base_models_are_shared_and_versions_are_not(service: Service) -> None:
    del service  # only its database
    viewer, stranger = await make_viewer(), await make_viewer()
    model = await make_model(viewer, name="shared")
    assert (await base_models.find(stranger, "shared")).id == model.id
    assert (await base_models.get(stranger, model.id)).name == "shared"
    assert [row.id for row in (await base_models.listing(stranger, Page.of(5))).rows] == [model.id]
    assert (await versions.listing(stranger, "shared", Page.of(5))).rows == []
    for name in ("other", "", "\x00", "\ud800"):
        with pytest.raises(NotFound):
            await base_models.find(viewer, name)
    with pytest.raises(NotFound):
        await base_models.get(viewer, viewer.user_id)
    with pytest.raises(NotFound):
        await versions.get(viewer, model.id)
