"""Two datasets side by side."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.access import Viewer
from jobs.data import comparisons, deletion
from jobs.data.comparisons import compare
from jobs.errors import NotFound
from jobs.models import Dataset
from jobs.service import Service
from tests.factories import QA, make_dataset
from tests.jobs.stage import make_viewer
from training.data import digests
from training.data.digests import Compared


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def lines(
    viewer: Viewer, service: Service, a: Dataset, b: Dataset
) -> tuple[list[int], list[int], list[int]]:
    found = (await compare(viewer, a.id, b.id, artifacts=service.artifacts)).lines
    return list(found.only_in_a), list(found.only_in_b), list(found.in_both)


async def test_what_each_has_alone_and_what_both_have_is_told_by_line(
    service: Service, viewer: Viewer
) -> None:
    a = await make_dataset(viewer, service, records=[QA[0], QA[1], QA[2], QA[3]])
    b = await make_dataset(viewer, service, records=[QA[5], QA[2], QA[4], QA[0]])
    assert await lines(viewer, service, a, b) == ([2, 4], [1, 3], [1, 3])
    assert await lines(viewer, service, b, a) == ([1, 3], [2, 4], [2, 4])
    assert await lines(viewer, service, a, a) == ([], [], [1, 2, 3, 4])


async def test_of_equal_records_as_many_are_shared_as_both_have(
    service: Service, viewer: Viewer
) -> None:
    a = await make_dataset(viewer, service, records=[QA[0], QA[1], QA[0], QA[0]])
    b = await make_dataset(viewer, service, records=[QA[0], QA[0], QA[2]])
    assert await lines(viewer, service, a, b) == ([2, 4], [3], [1, 3])


async def test_another_users_dataset_cannot_be_compared_with(
    service: Service, viewer: Viewer
) -> None:
    mine = await make_dataset(viewer, service)
    theirs = await make_dataset(await make_viewer(), service)
    for a, b in ((mine, theirs), (theirs, mine)):
        with pytest.raises(NotFound):
            await compare(viewer, a.id, b.id, artifacts=service.artifacts)
    assert not service.artifacts.digests(theirs.id).exists()


async def test_digests_are_written_once_and_go_with_the_dataset(
    service: Service, viewer: Viewer
) -> None:
    a, b = await make_dataset(viewer, service), await make_dataset(viewer, service)
    await lines(viewer, service, a, b)
    written = service.artifacts.digests(a.id).stat()
    await lines(viewer, service, a, b)
    assert service.artifacts.digests(a.id).stat().st_mtime_ns == written.st_mtime_ns
    deleted = await deletion.delete(viewer, a.id, artifacts=service.artifacts)
    assert deleted.freed_bytes == a.size_bytes + written.st_size
    assert not service.artifacts.dataset(a.id).exists()


async def test_a_dataset_that_is_deleted_amid_a_comparison_leaves_no_file(
    service: Service, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await make_dataset(viewer, service)

    def deleted_meanwhile(records: Path, target: object) -> None:
        del target
        records.unlink()

    monkeypatch.setattr(digests, "write", deleted_meanwhile)
    with pytest.raises(NotFound):
        comparisons.digested(a.id, service.artifacts)
    assert not service.artifacts.dataset(a.id).exists()
    with pytest.raises(NotFound):
        comparisons.digested(a.id, service.artifacts)
    assert not service.artifacts.dataset(a.id).exists()


def compared(folder: Path, a: Sequence[int], b: Sequence[int]) -> Compared:
    for name, values in (("a", a), ("b", b)):
        (folder / f"{name}.jsonl").write_text("".join(f"{value}\n" for value in values))
        with (folder / name).open("wb") as target:
            digests.write(folder / f"{name}.jsonl", target)
    return digests.compare(folder / "a", folder / "b")


@given(a=st.lists(st.integers(0, 9), max_size=30), b=st.lists(st.integers(0, 9), max_size=30))
def test_every_record_is_on_one_side_or_shared(
    tmp_path_factory: pytest.TempPathFactory, a: list[int], b: list[int]
) -> None:
    found = compared(tmp_path_factory.mktemp("digests"), a, b)
    shared = Counter(a) & Counter(b)
    assert Counter(a[line - 1] for line in found.in_both) == shared
    assert Counter(a[line - 1] for line in found.only_in_a) == Counter(a) - shared
    assert Counter(b[line - 1] for line in found.only_in_b) == Counter(b) - shared
    assert sorted([*found.in_both, *found.only_in_a]) == list(range(1, len(a) + 1))


def test_many_records_in_any_order_are_compared_exactly(tmp_path: Path) -> None:
    a, b = list(range(20_000)), list(range(5_000, 25_000))
    random.Random(1).shuffle(a)
    random.Random(2).shuffle(b)
    found = compared(tmp_path, a, b)
    assert sorted(a[line - 1] for line in found.only_in_a) == list(range(5_000))
    assert sorted(b[line - 1] for line in found.only_in_b) == list(range(20_000, 25_000))
    assert len(found.in_both) == 15_000
    assert list(found.in_both) == sorted(found.in_both)


def test_a_file_of_another_kind_is_not_taken_for_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"something else")
    with pytest.raises(ValueError, match="is no file of digests"):
        digests.compare(tmp_path / "a", tmp_path / "a")
