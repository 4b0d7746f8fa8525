"""Answers: claimed, written into their row as they come, and ended, whatever becomes of the child."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.access import Viewer
from jobs.errors import InvalidInput, NotFound
from jobs.execution import tasks
from jobs.execution.answering import Answerer
from jobs.models import Generation, ModelVersion
from jobs.queue import QUEUE_NAME, Work
from jobs.registry import generations
from jobs.registry.generations import Wanted
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import make_viewer
from tests.jobs.execution.test_tasks import version_of
from tests.jobs.stage import eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


@pytest.fixture
async def version(service: Service, viewer: Viewer) -> ModelVersion:
    return await version_of(viewer, service)


@pytest.fixture
async def answerer(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Answerer]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("jobs.execution.answering.MODULE", "tests.jobs.scripted_speaker")
    made = Answerer("worker", service.settings, service.artifacts)
    yield made
    await made.aclose()


async def ask(
    viewer: Viewer, service: Service, version: ModelVersion, told: str = "10", **parameters: object
) -> Generation:
    wanted = Wanted([{"role": "user", "content": told}], parameters)
    return await generations.request(viewer, version.id, wanted, queue=service.queue)


async def again(generation: Generation) -> Generation:
    return await Generation.get(id=generation.id)


async def test_an_answer_grows_in_its_row_and_its_time_is_kept(
    service: Service, viewer: Viewer, version: ModelVersion, answerer: Answerer
) -> None:
    asked = await ask(viewer, service, version, "30")
    hints = await service.queue.redis.zrange(QUEUE_NAME, 0, -1)
    assert f"answer:{asked.id}:1".encode() in hints
    running = asyncio.create_task(answerer.answer(asked.id))
    seen = [each.text async for each in generations.follow(asked)]
    await running
    done = await again(asked)
    assert done.status is TaskStatus.READY
    assert done.text.startswith(" ".join(map(str, range(30))))
    assert len(seen) > 3
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(seen))
    assert seen[-1] == done.text
    assert (done.ending or {})["seconds"] == 1.5
    assert (done.worker_id, done.lease_expires_at) == (None, None)
    assert await generations.latency([version.id, asked.id]) == {version.id: 1.5}


async def test_one_child_answers_all_and_is_replaced_when_it_dies(
    service: Service, viewer: Viewer, version: ModelVersion, answerer: Answerer
) -> None:
    pids = []
    for told in ("1", "refuse", "2", "crash", "3"):
        asked = await ask(viewer, service, version, told)
        await answerer.answer(asked.id)
        done = await again(asked)
        pids.append((done.text.rpartition("by ")[2], (done.error or {}).get("code")))
    first, refused, second, crashed, third = pids
    assert (refused[1], crashed[1]) == ("NO", "CHILD_CRASHED")
    assert first == second != third
    os.kill(int(third[0]), signal.SIGKILL)
    asked = await ask(viewer, service, version, "1")
    await answerer.answer(asked.id)
    assert (await again(asked)).status is TaskStatus.READY


async def test_an_answer_that_nobody_waits_for_ends(
    service: Service, viewer: Viewer, version: ModelVersion, answerer: Answerer
) -> None:
    asked = await ask(viewer, service, version, "5000")
    running = asyncio.create_task(answerer.answer(asked.id))
    following = generations.follow(asked)
    async for each in following:
        if each.text:
            break
    await following.aclose()
    await asyncio.wait_for(running, 10)
    done = await again(asked)
    assert (done.status, (done.error or {})["code"]) == (TaskStatus.FAILED, "ABANDONED")
    waiting = await ask(viewer, service, version)
    following = generations.follow(waiting)
    await anext(following)
    await following.aclose()
    await answerer.answer(waiting.id)
    assert (await again(waiting)).attempt == 0
    assert (await again(waiting)).status is TaskStatus.FAILED


async def test_a_worker_that_leaves_puts_it_back_and_another_begins_anew(
    service: Service, viewer: Viewer, version: ModelVersion, answerer: Answerer
) -> None:
    asked = await ask(viewer, service, version, "5000")
    running = asyncio.create_task(answerer.answer(asked.id))

    async def has_text() -> bool:
        return bool((await again(asked)).text)

    await eventually(has_text)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = await again(asked)
    assert (left.status, left.text, left.worker_id) == (TaskStatus.QUEUED, "", None)
    await Generation.filter(id=asked.id).update(messages=[{"role": "user", "content": "2"}])
    await answerer.answer(asked.id)
    assert (await again(asked)).text.startswith("0 1 by ")
    lapsed = {"status": TaskStatus.RUNNING, "lease_expires_at": "2020-01-01T00:00:00Z"}
    await Generation.filter(id=asked.id).update(**lapsed)
    assert await tasks.requeue_lapsed(Work.ANSWER, 3) == [(asked.id, 3)]


async def test_a_child_that_falls_silent_is_ended_and_the_next_question_is_answered(
    service: Service, viewer: Viewer, version: ModelVersion, answerer: Answerer
) -> None:
    patient = answerer._settings
    answerer._settings = patient.model_copy(update={"silence_seconds": 0.5})
    asked = await ask(viewer, service, version, "hang")
    await answerer.answer(asked.id)
    done = await again(asked)
    assert (done.status, (done.error or {})["code"]) == (TaskStatus.FAILED, "CHILD_SILENT")
    answerer._settings = patient
    asked = await ask(viewer, service, version, "1")
    await answerer.answer(asked.id)
    assert (await again(asked)).status is TaskStatus.READY


async def test_what_makes_no_sense_is_refused_at_once(
    service: Service, viewer: Viewer, version: ModelVersion
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await ask(viewer, service, version, temperature=9.0)
    assert refused.value.findings[0].path == ("parameters", "temperature")
    for messages in (
        [],
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": "x" * 200_001}],
    ):
        with pytest.raises(InvalidInput) as refused:
            await generations.request(viewer, version.id, Wanted(messages, {}), queue=service.queue)
        assert refused.value.findings[0].code == "MESSAGES"
    with pytest.raises(NotFound):
        await ask(await make_viewer(), service, version)
    assert await Generation.all().count() == 0


async def test_old_answers_are_deleted(
    service: Service, viewer: Viewer, version: ModelVersion
) -> None:
    old, waiting, new = [await ask(viewer, service, version) for _ in range(3)]
    for row in (old, waiting):
        await Generation.filter(id=row.id).update(created_at="2020-01-01T00:00:00Z")
    await Generation.filter(id__in=[old.id, new.id]).update(status=TaskStatus.READY)
    await generations.remove_old(3600)
    assert {row.id for row in await Generation.all()} == {waiting.id, new.id}
