"""Keyset pages: nothing lost and nothing twice."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from jobs.access import Viewer
from jobs.errors import InvalidInput
from jobs.models import BaseModel
from jobs.pages import Page, newest_first
from jobs.service import Service
from tests.jobs.stage import make_viewer

START = datetime(2026, 1, 1, tzinfo=UTC)


async def add(viewer: Viewer, name: str, created_at: datetime) -> UUID:
    model = await BaseModel.create(name=name, source="/nowhere", owner_id=viewer.user_id)
    await BaseModel.filter(id=model.id).update(created_at=created_at)
    return model.id


async def test_no_row_is_lost_or_doubled_while_rows_are_added(service: Service) -> None:
    del service  # only its database
    viewer = await make_viewer()
    moments = [START + timedelta(microseconds=number // 3) for number in range(25)]
    before = {await add(viewer, f"old-{n}", moment) for n, moment in enumerate(moments)}
    seen: list[UUID] = []
    cursor = None
    for number in range(10):
        page = await newest_first(BaseModel.all(), Page.of(4, cursor))
        seen += [row.id for row in page.rows]
        assert len(page.cursors) == len(page.rows)
        assert await page.count() == 25 + number
        if not page.has_next:
            break
        cursor = page.cursors[-1]
        await add(viewer, f"new-{number}", START + timedelta(seconds=1 + number))
    assert len(seen) == 25
    assert set(seen) == before


async def test_the_last_full_page_says_that_nothing_follows(service: Service) -> None:
    del service  # only its database
    viewer = await make_viewer()
    for number in range(4):
        await add(viewer, str(number), START + timedelta(seconds=number))
    first = await newest_first(BaseModel.all(), Page.of(2))
    second = await newest_first(BaseModel.all(), Page.of(2, first.cursors[-1]))
    third = await newest_first(BaseModel.all(), Page.of(2, second.cursors[-1]))
    assert [row.name for row in first.rows + second.rows] == ["3", "2", "1", "0"]
    assert (first.has_next, second.has_next, third.has_next) == (True, False, False)
    assert third.rows == []


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "é", "\ud800", "!!!!", "A" * 100_000),
        _cursor("nothing"),
        _cursor("2026-01-01T00:00:00+00:00|no id"),
        _cursor(f"2026-01-01|{NOBODY}"),
        _cursor(f"2026-01-01T00:00:00.000000|{NOBODY}"),
        _cursor(f"0001-01-01T00:00:00.000000+14:00|{NOBODY}"),
        _cursor(f"9999-12-31T23:59:59.000000-14:00|{NOBODY}"),
        _cursor(f"2026-01-01T00:00:00.000000+00:00|{NOBODY}|more"),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Page.of(20, cursor)
    assert [(f.code, f.path) for f in caught.value.findings] == [("BAD_CURSOR", ("after",))]


@pytest.mark.parametrize("first", [0, -5, 101, 10**30])
def test_a_page_of_no_rows_or_of_too_many_is_refused(first: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        Page.of(first)
    assert [finding.code for finding in caught.value.findings] == ["PAGE_SIZE_OUT_OF_RANGE"]


def test_the_bounds_themselves_are_taken() -> None:
    assert (Page.of().first, Page.of(1).first, Page.of(100).first) == (20, 1, 100)
