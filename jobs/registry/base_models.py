"""Base models: registered once, shared by all."""

import asyncio
import json
import re
from pathlib import Path
from uuid import UUID

from tortoise.exceptions import IntegrityError

from jobs import audit
from jobs.access import Role, Viewer
from jobs.data.datasets import MAX_NAME, checked_name
from jobs.database import transaction
from jobs.errors import Conflict, Forbidden, InvalidInput, NotFound
from jobs.models import BaseModel
from jobs.pages import Page, Slice, newest_first
from jobs.queue import Queue, Work
from jobs.settings import Settings
from jobs.status import TaskStatus

__all__ = ["find", "get", "listing", "refuse_unready", "register"]

MAX_SOURCE = 1000
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


async def register(
    viewer: Viewer, name: str, source: str, *, settings: Settings, queue: Queue
) -> BaseModel:
    """Register a folder or hub id under a name; a child process then checks that it loads.

    The row is QUEUED at first, then READY with its facts or FAILED with the reason. Raises
    InvalidInput, Conflict for a name in use, Forbidden for a folder outside the allowed roots.
    """
    name = checked_name(name)
    place = await asyncio.to_thread(_locate, source.strip(), viewer, settings)
    try:
        async with transaction():
            model = await BaseModel.create(name=name, source=str(place), owner_id=viewer.user_id)
            await audit.record(viewer, "registerModel", model, model.id, name=name)
    except IntegrityError as error:
        raise Conflict(
            f"There is a model {name!r} already.", "Choose another name, or use that one."
        ) from error
    await queue.enqueue(Work.CHECK_MODEL, model.id, attempt=1)
    return model


async def get(viewer: Viewer, model_id: UUID) -> BaseModel:
    """A model by id; everybody with an account may see every base model. NotFound."""
    del viewer  # base models are shared, see jobs.access
    model = await BaseModel.get_or_none(id=model_id)
    if model is None:
        raise NotFound("model", model_id)
    return model


def refuse_unready(model: BaseModel) -> None:
    """Conflict where the model could not be loaded, or was not looked at yet."""
    if model.status is TaskStatus.FAILED:
        raise Conflict(
            f"The model {model.name!r} could not be loaded when it was registered.",
            "See its `error`, mend the source and register it under another name.",
        )
    if model.status is not TaskStatus.READY:
        raise Conflict(
            f"The model {model.name!r} is still being looked at.", "Wait until it is READY."
        )


async def find(viewer: Viewer, name: str) -> BaseModel:
    """A model by name; NotFound."""
    del viewer  # base models are shared, see jobs.access
    can_be_one = name.isprintable() and len(name) <= MAX_NAME
    model = await BaseModel.get_or_none(name=name) if can_be_one else None
    if model is None:
        raise NotFound("model", ascii(name)[1:-1])
    return model


async def listing(viewer: Viewer, page: Page) -> Slice[BaseModel]:
    """All base models, newest first."""
    del viewer  # base models are shared, see jobs.access
    return await newest_first(BaseModel.all(), page)


def _locate(source: str, viewer: Viewer, settings: Settings) -> Path | str:
    """The folder, made absolute, or the hub id that `source` names."""
    folder = _folder(source)
    if folder is not None and _is_allowed(viewer, folder, settings):
        if folder.is_dir():
            _refuse_if_no_checkpoint(folder)
            return folder
    elif not _HUB_ID.fullmatch(source):  # said of any path, there or not
        raise Forbidden(
            f"Your role may not register the folder {source[:200]!r}.",
            "Use a hub id, a folder below TUNERY_MODEL_ROOTS, or ask an ADMIN.",
        )
    if _HUB_ID.fullmatch(source):
        return source
    raise InvalidInput.at(
        ["source"],
        f"{source[:200]!r} is neither a folder on the server nor a hub id.",
        code="MODEL_SOURCE",
        remedy="Give the path of a checkpoint folder, or an id such as owner/name.",
    )


def _folder(source: str) -> Path | None:
    """The absolute path that `source` spells, whether or not something lies there."""
    if not source.isprintable() or len(source) > MAX_SOURCE:
        return None
    try:
        return Path(source).expanduser().resolve()
    except (OSError, RuntimeError):  # a loop of links, or the home of nobody
        return None


def _is_allowed(viewer: Viewer, folder: Path, settings: Settings) -> bool:
    roots = (root.resolve() for root in settings.model_roots)
    return viewer.role is Role.ADMIN or any(folder.is_relative_to(root) for root in roots)


def _refuse_if_no_checkpoint(folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        readable = isinstance(config, dict)
    except (OSError, ValueError):
        readable = False
    if not readable:
        raise InvalidInput.at(
            ["source"],
            f"The folder {str(folder)!r} holds no readable config.json.",
            code="MODEL_SOURCE",
            remedy="Give a folder saved by save_pretrained: config, weights and tokenizer.",
        )
