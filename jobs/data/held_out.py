"""A dataset of its own to test a run with, beside the one that it trains on."""

from typing import Any
from uuid import UUID

from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.data import datasets, lineage
from jobs.errors import NotFound
from jobs.models import Dataset
from training.findings import Finding
from training.held_out import VALIDATION_DATASET, HeldOut

__all__ = ["columns", "facts", "find", "hold", "places", "unready_findings"]

KIND = "validation dataset"


async def find(viewer: Viewer, dataset_id: UUID | None) -> Dataset | None:
    """The dataset, if one is named and the viewer may see it; NotFound if they may not."""
    if dataset_id is None:
        return None
    try:
        return await datasets.get(viewer, dataset_id)
    except NotFound as error:
        raise NotFound(KIND, dataset_id) from error


def facts(held_out: Dataset | None, dataset: Dataset) -> HeldOut | None:
    """What the checks of a run that trains on `dataset` must know."""
    if held_out is None or held_out.data_type is None:
        return None
    return HeldOut(
        records=held_out.record_count,
        data_type=held_out.data_type,
        trained_on=held_out.sha256 == dataset.sha256,
    )


def unready_findings(held_out: Dataset | None) -> tuple[Finding, ...]:
    """Why nothing can be tested with it yet, or ever."""
    found = () if held_out is None else datasets.unready_findings(held_out)
    return tuple(each.model_copy(update={"path": VALIDATION_DATASET}) for each in found)


async def hold(dataset: Dataset, held_out: Dataset | None) -> None:
    """See, inside a submission's transaction, that nobody deletes them at the same time; NotFound.

    Always in one order, lest two submissions wait for each other.
    """
    kinds = {dataset.id: "dataset"}
    if held_out is not None:
        kinds.setdefault(held_out.id, KIND)
    for key, kind in sorted(kinds.items()):
        await datasets.hold(key, kind)


async def columns(dataset: Dataset, held_out: Dataset | None) -> dict[str, Any]:
    """What the job's row remembers of its data, whatever becomes of it."""
    kept: dict[str, Any] = {
        "dataset_id": dataset.id,
        "dataset_name": dataset.name,
        "dataset_sha256": dataset.sha256,
        "dataset_version": await lineage.number_of(dataset.id),
    }
    if held_out is not None:
        kept |= {
            "validation_dataset_id": held_out.id,
            "validation_name": held_out.name,
            "validation_sha256": held_out.sha256,
            "validation_version": await lineage.number_of(held_out.id),
        }
    return kept


def places(dataset_id: UUID, held_out_id: UUID | None, artifacts: Artifacts) -> dict[str, str]:
    """Where a training child finds the records that it tests with, if they have a dataset of their
    own, and what was found of them and of those that it trains on."""
    found = {"examination_path": str(artifacts.examination(dataset_id))}
    if held_out_id is not None:
        found["validation_path"] = str(artifacts.records(held_out_id))
        found["validation_examination_path"] = str(artifacts.examination(held_out_id))
    return found
