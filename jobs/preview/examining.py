"""Datasets examined because somebody asks for it: as rows of tokens, or once more as they are."""

import asyncio
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from zipfile import BadZipFile, ZipFile

from tortoise.exceptions import IntegrityError

from jobs import audit
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.data import datasets, examinations
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import BaseModel, Dataset, Examination, TokenExamination
from jobs.pages import Page, Slice, newest_first
from jobs.preview.rendering_options import rendering_config
from jobs.queue import Queue, Work
from jobs.registry import base_models
from jobs.status import TaskStatus
from training.config import TrainingConfig
from training.data.doctor.spec import KEPT
from training.models.facts import ModelFacts

__all__ = ["ExaminationRequest", "examine", "get", "of_dataset"]

KIND = "token examination"


@dataclass(frozen=True)
class ExaminationRequest:
    """What somebody wants looked at. `choices` maps `chat_template`, `train_on` and
    `max_sequence_length` to what was chosen of them."""

    dataset_id: UUID
    model_id: UUID | None
    """Whose rows of tokens; without one, the records as they are."""
    choices: Mapping[str, object]


async def examine(
    viewer: Viewer, request: ExaminationRequest, *, artifacts: Artifacts, queue: Queue
) -> Dataset | TokenExamination:
    """Have a dataset's records or tokens examined, where that has not been done or was to no avail.

    Who asks the same twice gets the same examination. Raises NotFound, InvalidInput for what a run would be
    refused for, and Conflict for a dataset or a model that is not READY.
    """
    dataset = await datasets.get(viewer, request.dataset_id)
    for unready in datasets.unready_findings(dataset):
        raise Conflict(unready.message, unready.remedy)
    if request.model_id is None:
        _refuse_idle(request.choices)
        await _examine_records(viewer, dataset, artifacts=artifacts, queue=queue)
        return dataset
    model = await base_models.get(viewer, request.model_id)
    base_models.refuse_unready(model)
    assert dataset.data_type is not None  # noqa: S101 - it is READY
    facts = ModelFacts.model_validate(model.facts)
    config = rendering_config(request.choices, facts, dataset.data_type, within=())
    row = await _asked_tokens(viewer, dataset, model, config, queue=queue)
    folder = artifacts.token_examination(row.id)
    if row.status is TaskStatus.FAILED or await _is_not_kept(row, folder):
        await _queue_again(viewer, row, Work.EXAMINE_TOKENS, dataset, queue)
        row = await TokenExamination.get(id=row.id)
    return row


async def get(viewer: Viewer, examination_id: UUID) -> TokenExamination:
    """The examination of a dataset's tokens, where the viewer may see the dataset; NotFound otherwise."""
    row = await TokenExamination.get_or_none(id=examination_id)
    if row is None:
        raise NotFound(KIND, examination_id)
    try:
        _ = await datasets.get(viewer, row.dataset_id)
    except NotFound as error:
        raise NotFound(KIND, examination_id) from error
    return row


async def of_dataset(dataset_id: UUID, page: Page) -> Slice[TokenExamination]:
    """The examinations of the tokens of a dataset that is known to be visible, newest first."""
    return await newest_first(TokenExamination.filter(dataset_id=dataset_id), page)


def _refuse_idle(choices: Mapping[str, object]) -> None:
    """InvalidInput where it is said how to render, and not for which model."""
    if choices:
        raise InvalidInput.at(
            ["modelId"],
            "chatTemplate, trainOn and maxSequenceLength say how records become a model's tokens, and "
            "no model is named.",
            code="MODEL_MISSING",
            remedy="Name the model, or leave them out to have the records examined as they are.",
        )


async def _examine_records(
    viewer: Viewer, dataset: Dataset, *, artifacts: Artifacts, queue: Queue
) -> None:
    """Queue the look at the records again where it FAILED, or where what was found of each record was
    not kept yet, or is damaged; the report stays until there is another."""
    row = await Examination.get_or_none(id=dataset.id)
    if row is None:
        async with transaction():
            await datasets.hold(dataset.id)
            await examinations.request(dataset.id)
            await audit.record(viewer, "examineDataset", dataset, dataset.id)
        await queue.enqueue(Work.EXAMINE, dataset.id, attempt=1)
    elif row.status is TaskStatus.FAILED or await _is_not_kept(row, artifacts.examination(row.id)):
        await _queue_again(viewer, row, Work.EXAMINE, dataset, queue)


async def _is_not_kept(row: Examination | TokenExamination, folder: Path) -> bool:
    is_ready = row.status is TaskStatus.READY
    return is_ready and not await asyncio.to_thread(_is_whole, folder / KEPT)


def _is_whole(kept: Path) -> bool:
    """Whether the file is there and has its checksums; at most some 100 bytes for each record are
    read."""
    try:
        with ZipFile(kept) as file:
            return file.testzip() is None
    except (OSError, BadZipFile, zlib.error):
        return False


async def _asked_tokens(
    viewer: Viewer, dataset: Dataset, model: BaseModel, config: TrainingConfig, *, queue: Queue
) -> TokenExamination:
    key = _key(dataset.id, model.id, config)
    row = await TokenExamination.get_or_none(key=key)
    if row is None:
        row = await _create(viewer, dataset, model, config, key=key)
        await queue.enqueue(Work.EXAMINE_TOKENS, row.id, row.attempt + 1)
    return row


async def _create(
    viewer: Viewer, dataset: Dataset, model: BaseModel, config: TrainingConfig, *, key: str
) -> TokenExamination:
    try:
        async with transaction():
            await datasets.hold(dataset.id)
            row = await TokenExamination.create(
                key=key,
                dataset_id=dataset.id,
                model_id=model.id,
                chat_template=config.chat_template,
                train_on=config.train_on,
                max_sequence_length=config.max_sequence_length,
            )
            await audit.record(viewer, "examineDataset", dataset, dataset.id, model=model.name)
    except IntegrityError:  # somebody has asked the same at the same time
        return await TokenExamination.get(key=key)
    return row


async def _queue_again(
    viewer: Viewer, row: Examination | TokenExamination, work: Work, dataset: Dataset, queue: Queue
) -> None:
    """Whoever comes second leaves it to the first."""
    as_seen = type(row).filter(id=row.id, status=row.status, attempt=row.attempt)
    async with transaction():
        changed = await as_seen.update(
            status=TaskStatus.QUEUED, progress=0.0, error=None, crashes=0
        )
        if changed:
            await audit.record(viewer, "examineDataset", dataset, dataset.id, again=True)
    if changed:
        await queue.enqueue(work, row.id, row.attempt + 1)


def _key(dataset_id: UUID, model_id: UUID, config: TrainingConfig) -> str:
    """All that decides what is found, as one name."""
    parts = [
        *(str(dataset_id), str(model_id)),
        *(config.chat_template, config.train_on, config.max_sequence_length),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
