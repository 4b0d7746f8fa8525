"""Lines of descent: numbered, told from both ends, and kept as long as somebody descends."""

import pytest

from jobs.access import Role, Viewer
from jobs.data import deletion, lineage
from jobs.models import Dataset, DatasetVersion
from jobs.pages import Page
from jobs.service import Service
from tests.factories import QA, make_dataset, make_version
from tests.jobs.stage import make_viewer


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def numbers(dataset: Dataset) -> list[tuple[int, str]]:
    return [(each.number, each.name) for each in await lineage.line_of(dataset)]


async def test_versions_are_numbered_along_their_line(service: Service, viewer: Viewer) -> None:
    first = await make_dataset(viewer, service)
    second = await make_version(viewer, service, first, QA[1:], name="second")
    third = await make_version(viewer, service, second, QA[2:], name="third")
    branch = await make_version(viewer, service, first, QA[3:], name="branch")
    assert await numbers(third) == [(1, "sums"), (2, "second"), (3, "third")]
    assert await numbers(branch) == [(1, "sums"), (2, "branch")]
    assert await numbers(await make_dataset(viewer, service)) == [(1, "sums")]
    assert await lineage.number_of(first.id) == 1
    assert await lineage.number_of((await make_dataset(viewer, service)).id) == 1
    page = await lineage.children(viewer, first.id, Page(first=1))
    assert ([each.id for each in page.rows], page.has_next) == ([branch.id], True)


async def test_a_parent_that_is_deleted_is_still_known_to_its_children(
    service: Service, viewer: Viewer
) -> None:
    first = await make_dataset(viewer, service)
    second = await make_version(viewer, service, first, QA[1:], name="second")
    third = await make_version(viewer, service, second, QA[2:], name="third")
    for each in (first, second):
        await deletion.delete(viewer, each.id, artifacts=service.artifacts)
    assert await numbers(third) == [(1, "sums"), (2, "second"), (3, "third")]
    line = await lineage.line_of(third)
    assert [each.dataset_id for each in line] == [None, None, third.id]
    assert [each.sha256 for each in line] == [first.sha256, second.sha256, third.sha256]
    await deletion.delete(viewer, third.id, artifacts=service.artifacts)
    assert await DatasetVersion.all().count() == 0  # nobody descends from them any more


async def test_a_line_is_kept_as_long_as_one_branch_of_it_lives(
    service: Service, viewer: Viewer
) -> None:
    first = await make_dataset(viewer, service)
    left = await make_version(viewer, service, first, QA[1:])
    right = await make_version(viewer, service, first, QA[2:])
    await deletion.delete(viewer, first.id, artifacts=service.artifacts)
    await deletion.delete(viewer, left.id, artifacts=service.artifacts)
    assert await numbers(right) == [(1, "sums"), (2, "sums")]
    assert await DatasetVersion.all().count() == 2


async def test_what_an_admin_made_of_somebodys_dataset_is_not_told_to_them(
    service: Service, viewer: Viewer
) -> None:
    parent = await make_dataset(viewer, service)
    admin = await make_viewer(Role.ADMIN)
    child = await make_version(admin, service, parent, QA[1:])
    assert (await lineage.children(viewer, parent.id, Page())).rows == []
    rows = (await lineage.children(admin, parent.id, Page())).rows
    assert [each.id for each in rows] == [child.id]
