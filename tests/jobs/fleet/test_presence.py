"""A worker's machine is measured once, while nothing trains on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest

from jobs.fleet.devices import DevicePool, open_pool
from jobs.fleet.presence import measured_rate, present_forever
from jobs.fleet.workers import roomiest
from jobs.service import Service
from jobs.settings import Settings
from tests.jobs.stage import eventually


@asynccontextmanager
async def present(settings: Settings, pool: DevicePool) -> AsyncIterator[None]:
    hurried = settings.model_copy(update={"lease_seconds": 0.15})
    task = asyncio.create_task(present_forever("host-1-cafe", hurried, pool))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def rate() -> float | None:
    place = await roomiest(1, 30.0)
    return place.machine.operations_per_second if place else None


async def is_measured() -> bool:
    return await rate() is not None


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads of each measurement, of which the first fails."""
    asked: list[int] = []

    async def measure(threads: int) -> float | None:
        asked.append(threads)
        return 1e9 if len(asked) > 1 else None

    monkeypatch.setattr("jobs.fleet.presence.measured_rate", measure)
    monkeypatch.setattr("jobs.fleet.presence.MEASURE_AFTER_SECONDS", 0.02)
    monkeypatch.setattr("jobs.fleet.presence.cuda_devices", tuple)
    return asked


async def test_an_idle_worker_is_measured_until_that_succeeds(
    service: Service, measured: list[int]
) -> None:
    async with present(service.settings, open_pool(0, 1, ())):
        await eventually(is_measured)
        await asyncio.sleep(0.1)
    assert measured == [service.settings.threads] * 2


async def test_a_busy_worker_is_not_measured(service: Service, measured: list[int]) -> None:
    pool, job = open_pool(0, 1, ()), uuid4()
    assert pool.lend(job, 1)
    async with present(service.settings, pool):
        await asyncio.sleep(0.3)
        assert (measured, await rate()) == ([], None)
        pool.take_back(job)
        await eventually(is_measured)


async def test_a_worker_with_cards_is_not_measured(
    service: Service, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.fleet.presence.cuda_devices", lambda: ("0",))
    async with present(service.settings, open_pool(0, 1, ("0",))):
        await asyncio.sleep(0.2)
    assert measured == []


@pytest.mark.slow
async def test_a_child_measures_this_processor() -> None:
    found = await measured_rate(1)
    assert found is not None
    assert 1e8 < found < 1e14


@pytest.mark.usefixtures("scripted")
async def test_a_child_that_fails_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert await measured_rate(1) is None
    assert "cannot measure how fast this machine computes" in caplog.text
