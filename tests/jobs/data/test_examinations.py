"""Datasets that are examined by a worker: abandoned by it, and deleted meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tortoise.exceptions import DoesNotExist

from jobs.data import deletion
from jobs.execution import tasks
from jobs.models import Examination
from jobs.queue import Work
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import make_dataset, make_viewer
from tests.ingesting import examine
from training.data.doctor.report import Report


async def test_an_examination_whose_worker_died_is_taken_up_again(service: Service) -> None:
    dataset = await make_dataset(await make_viewer(), service)
    await Examination.filter(id=dataset.id).update(
        status=TaskStatus.RUNNING,
        worker_id="dead",
        attempt=1,
        lease_expires_at=datetime.now(UTC) - timedelta(seconds=1),
    )
    assert await tasks.requeue_lapsed(Work.EXAMINE, 3) == [(dataset.id, 2)]
    ready = await examine(service, dataset.id)
    assert (ready.status, ready.attempt, ready.crashes) == (TaskStatus.READY, 2, 1)
    assert ready.progress == 100.0
    assert Report.model_validate(ready.report).statistics.records == dataset.record_count


async def test_a_dataset_that_is_deleted_while_it_is_examined_leaves_nothing(
    service: Service,
) -> None:
    viewer = await make_viewer()
    dataset = await make_dataset(viewer, service)
    running = asyncio.create_task(examine(service, dataset.id))
    while (await Examination.get(id=dataset.id)).status is TaskStatus.QUEUED:
        await asyncio.sleep(0.005)
    deleted = await deletion.delete(viewer, dataset.id, artifacts=service.artifacts)
    with pytest.raises(DoesNotExist):
        await running
    assert deleted.deleted_rows == 2
    assert await Examination.all().count() == 0
    for kind in ("datasets", "examinations"):
        folder = service.artifacts.root / kind
        assert not folder.exists() or list(folder.iterdir()) == []
