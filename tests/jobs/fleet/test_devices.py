"""Which devices a worker's jobs get, and what a job is told that no worker has enough for."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from jobs.fleet import devices
from jobs.fleet.devices import DevicePool, cuda_devices, open_pool
from jobs.fleet.workers import forget, listing, say_present
from jobs.models import TrainingJob, Worker
from jobs.pages import Page
from jobs.runs import lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import JobStatus
from jobs.worker import _waiting_jobs
from tests.factories import make_dataset, make_job, make_model
from tests.jobs.stage import history, make_viewer
from training.config import TrainingType

LEASE_SECONDS = 30.0


def ids(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]


def test_a_job_gets_the_devices_that_fewest_share() -> None:
    pool = DevicePool(("a", "b", "c"), slots=2)
    first, second, third = ids(3)
    assert pool.lend(first, 2)
    assert (pool.names(first), pool.in_use) == (("a", "b"), 2)
    assert pool.lend(first, 2)  # asked again, it keeps what it has
    assert not pool.lend(second, 2)
    assert pool.lend(third, 1)
    assert (pool.names(third), pool.in_use) == (("c",), 3)
    pool.take_back(first)
    pool.take_back(first)
    assert pool.lend(second, 2)
    assert pool.names(second) == ("a", "b")


def test_with_more_slots_than_devices_jobs_share_them() -> None:
    pool = DevicePool(("a", "b"), slots=4)
    jobs = ids(5)
    assert [pool.lend(job, 1) for job in jobs] == [True, True, True, True, False]
    assert [pool.names(job) for job in jobs] == [("a",), ("b",), ("a",), ("b",), ()]
    assert pool.in_use == 2


def test_on_a_machine_without_cuda_processes_stand_for_devices() -> None:
    job = uuid4()
    assert open_pool(0, 1, ()).size == 1
    pool = open_pool(4, 1, ())
    assert (pool.size, pool.lend(job, 4), pool.names(job), pool.in_use) == (4, True, (), 4)
    assert not pool.lend(uuid4(), 1)


def test_a_worker_has_the_cuda_devices_it_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(devices, "DRIVER", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda_devices() == ()
    for card in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / card).mkdir()
    assert cuda_devices() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5,7")
    assert cuda_devices() == ("3", "5", "7")
    assert open_pool(0, 1, cuda_devices()).size == 3
    job = uuid4()
    pool = open_pool(2, 1, cuda_devices())
    assert (pool.lend(job, 2), pool.names(job)) == (True, ("3", "5"))
    with pytest.raises(ValueError, match="TUNERY_WORKER_DEVICES is 4, but this worker may use 3"):
        open_pool(4, 1, cuda_devices())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cuda_devices() == ()


async def test_a_worker_leaves_alone_what_it_lacks_devices_for(service: Service) -> None:
    viewer = await make_viewer()
    small, large, last = [
        await make_job(viewer, service, devices=count, batch_size=8) for count in (1, 3, 1)
    ]
    assert (await TrainingJob.get(id=large.id)).devices == 3
    assert await _waiting_jobs(DevicePool(("",), 2), 2) == [small.id, last.id]
    three = DevicePool(("",) * 3, 1)
    assert await _waiting_jobs(three, 5) == [small.id]  # the large one is not overtaken
    await TrainingJob.filter(id=small.id).update(status=JobStatus.TRAINING)
    assert await _waiting_jobs(three, 5) == []
    three.take_back(small.id)
    assert await _waiting_jobs(three, 5) == [large.id]
    assert three.in_use == 3


async def test_workers_that_are_there_are_listed_until_they_leave_or_die(service: Service) -> None:
    del service
    await say_present("old", devices=1, devices_in_use=0, slots=1)
    await say_present("dead", devices=8, devices_in_use=0, slots=1)
    await Worker.filter(name="dead").update(seen_at=datetime.now(UTC) - timedelta(minutes=2))
    await asyncio.sleep(0.01)
    await say_present("new", devices=4, devices_in_use=0, slots=2)
    await say_present("new", devices=4, devices_in_use=3, slots=2)
    rows = (await listing(Page(), LEASE_SECONDS)).rows
    assert [(row.name, row.devices, row.devices_in_use, row.slots) for row in rows] == [
        ("new", 4, 3, 2),
        ("old", 1, 0, 1),
    ]
    await forget("old", LEASE_SECONDS)
    assert [row.name for row in await Worker.all()] == ["new"]


@pytest.mark.parametrize(
    ("present", "remedied"),
    [([], None), ([1, 2], {"devices": 2})],
)
async def test_a_job_for_more_devices_than_any_worker_has_is_told_so(
    service: Service, present: list[int], remedied: object
) -> None:
    viewer = await make_viewer()
    for count in present:
        await say_present(f"worker-{count}", devices=count, devices_in_use=0, slots=1)
    model, dataset = await make_model(viewer), await make_dataset(viewer, service)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, {"devices": 4})
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    (finding,) = [each for each in validation.findings if each.path == ("devices",)]
    assert validation.valid
    assert (finding.severity, finding.code) == ("WARNING", "NO_WORKER_HAS_DEVICES")
    assert finding.suggested_patch == remedied
    job = await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
    told = await history(job.id)
    assert [event.kind for event in told] == ["StatusChanged", "WarningRaised"]
    assert told[1].data == {
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
    }


async def test_a_job_that_a_worker_has_devices_for_is_told_nothing(service: Service) -> None:
    viewer = await make_viewer()
    await say_present("large", devices=4, devices_in_use=4, slots=1)
    job = await make_job(viewer, service, devices=4)
    assert [event.kind for event in await history(job.id)] == ["StatusChanged"]
