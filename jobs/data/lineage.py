"""Lines of descent: what a dataset was derived from, and what was derived from it.

A dataset is a line of its own, number 1, until another is derived from it; only then are there rows.
They stay for as long as a dataset lives that descends from them.
"""

from typing import Any
from uuid import UUID, uuid4

from tortoise.expressions import F

from jobs.access import Viewer, visible
from jobs.models import Dataset, DatasetVersion
from jobs.pages import Page, Slice, newest_first
from training.data.derivation import Changes

__all__ = ["add", "children", "forget", "line_of", "number_of"]


async def number_of(dataset_id: UUID) -> int:
    """The dataset's number in its line."""
    version = await DatasetVersion.get_or_none(dataset_id=dataset_id)
    return 1 if version is None else version.number


async def add(parent: Dataset, child: Dataset, changes: Changes) -> DatasetVersion:
    """Write down, inside a transaction, that the child was derived from a parent that is still there.

    Of two children at once one waits for the other, so that the parent is written down once.
    """
    await Dataset.filter(id=parent.id).update(uses=F("uses") + 1)
    above = await DatasetVersion.get_or_none(dataset_id=parent.id)
    if above is None:
        above = _first(parent)
        await above.save(force_create=True)
    return await DatasetVersion.create(
        dataset_id=child.id,
        parent_id=above.id,
        root_id=above.root_id,
        number=above.number + 1,
        changes=changes.model_dump(mode="json"),
        **_facts(child),
    )


async def line_of(dataset: Dataset) -> list[DatasetVersion]:
    """The line from its first dataset to this one, in order."""
    version = await DatasetVersion.get_or_none(dataset_id=dataset.id)
    if version is None:
        return [_first(dataset)]
    rows = await DatasetVersion.filter(root_id=version.root_id, number__lt=version.number)
    by_id = {row.id: row for row in rows}
    line = [version]
    while (above := line[-1].parent_id) is not None:
        line.append(by_id[above])
    return line[::-1]


async def children(viewer: Viewer, dataset_id: UUID, page: Page) -> Slice[Dataset]:
    """The datasets derived from this one directly, as far as the viewer may see them."""
    rows = Dataset.filter(as_version__parent__dataset_id=dataset_id, deleting=False)
    return await newest_first(visible(viewer, rows), page)


async def forget(dataset_id: UUID) -> None:
    """Inside the transaction that deletes a dataset: keep what it was for those that descend from
    it, and delete what nothing descends from any more."""
    version = await DatasetVersion.get_or_none(dataset_id=dataset_id)
    if version is None:
        return
    await DatasetVersion.filter(id=version.id).update(dataset_id=None)
    version.dataset_id = None
    while version is not None and version.dataset_id is None:
        if await DatasetVersion.filter(parent_id=version.id).exists():
            return
        await DatasetVersion.filter(id=version.id).delete()
        version = await DatasetVersion.get_or_none(id=version.parent_id)


def _first(dataset: Dataset) -> DatasetVersion:
    """A line that begins with a dataset, not yet stored."""
    key = uuid4()
    return DatasetVersion(id=key, dataset_id=dataset.id, root_id=key, number=1, **_facts(dataset))


def _facts(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "record_count": dataset.record_count,
    }
