"""Following jobs live: every event once and in order, whenever one joins."""

import asyncio
import random
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from tortoise import connections

from jobs.database import transaction
from jobs.models import TrainingJob
from jobs.queue import EVENTS_CHANNEL
from jobs.runs import events
from jobs.runs.events import BATCH, IDLE_SECONDS, TAIL, EventHub, open_hub
from jobs.runs.history import Entry, append, finished, move
from jobs.service import Service, open_service
from jobs.settings import Settings
from jobs.status import JobStatus
from tests.factories import make_job
from tests.jobs.stage import as_environment, eventually, make_viewer, start_python

WRITER = """
import asyncio, random, sys
from uuid import UUID
from jobs.database import connect, transaction
from jobs.runs.history import Entry, append, finished, move
from jobs.queue import open_queue
from jobs.settings import Settings
from jobs.status import JobStatus

async def main(count, jobs):
    settings, dice = Settings(), random.Random(1)
    async with connect(settings), open_queue(settings.redis_url) as queue:
        for number in range(count):
            for job_id in jobs:
                async with transaction():
                    burst = [Entry("WarningRaised", {"number": number})] * dice.randint(1, 3)
                    seq = await append(job_id, burst)
                await queue.publish(job_id, seq)
            await asyncio.sleep(0.01)
        for job_id in jobs:
            end = finished(JobStatus.FAILED)
            job = await move(job_id, JobStatus.FAILED, then=[end])
            await queue.publish(job_id, job.last_seq)

asyncio.run(main(int(sys.argv[1]), [UUID(job) for job in sys.argv[2:]]))
"""


async def write(service: Service, job_id: UUID, count: int) -> None:
    async with transaction():
        seq = await append(job_id, [Entry("WarningRaised", {"n": n}) for n in range(count)])
    await service.queue.publish(job_id, seq)


async def end(service: Service, job_id: UUID) -> None:
    job = await move(job_id, JobStatus.FAILED, then=[finished(JobStatus.FAILED)])
    await service.queue.publish(job_id, job.last_seq)


async def seen_by(hub: EventHub, job_id: UUID, after: int = 0) -> list[int]:
    """The numbers that a follower sees until the job's end."""
    async with asyncio.timeout(20):
        return [event.seq async for event in hub.follow(job_id, after)]


async def last_seq(job_id: UUID) -> int:
    return int((await TrainingJob.get(id=job_id)).last_seq)


@pytest.mark.slow
async def test_a_hundred_followers_who_join_at_any_time_see_every_event_once_and_in_order(
    service: Service,
) -> None:
    viewer = await make_viewer()
    jobs = [await make_job(viewer, service) for _ in range(5)]
    dice = random.Random(7)

    async def join(job_id: UUID, after: int) -> tuple[UUID, int, list[int]]:
        await asyncio.sleep(dice.uniform(0, 2.5))
        return job_id, after, await seen_by(service.hub, job_id, after)

    followers = [join(jobs[n % 5].id, dice.choice([0, 0, 1, 20])) for n in range(100)]
    writer = await start_python(
        WRITER, "100", *(str(job.id) for job in jobs), **as_environment(service.settings)
    )
    for job_id, after, seen in await asyncio.gather(*followers):
        assert seen == list(range(after + 1, await last_seq(job_id) + 1))
    assert await writer.wait() == 0
    assert service.hub._feeds == {}


async def test_a_follower_who_comes_back_goes_on_where_it_was(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    await write(service, job.id, 5)
    first = []
    following = service.hub.follow(job.id)
    async for event in following:
        first.append(event.seq)
        if event.seq == 4:
            break
    await following.aclose()
    await write(service, job.id, 5)
    await end(service, job.id)
    rest = await seen_by(service.hub, job.id, after=4)
    assert (first, rest) == ([1, 2, 3, 4], list(range(5, 14)))


async def test_a_follower_far_behind_catches_up_while_more_is_written(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    await write(service, job.id, 3 * BATCH)
    up_to_date = asyncio.create_task(seen_by(service.hub, job.id, after=3 * BATCH))
    behind = []
    async with asyncio.timeout(20):
        async for event in service.hub.follow(job.id):
            behind.append(event.seq)
            if event.seq in (1, BATCH, 2 * BATCH):
                await write(service, job.id, TAIL + 10)
            if event.seq == 3 * BATCH:
                await end(service, job.id)
    total = 1 + 3 * BATCH + 3 * (TAIL + 10) + 2
    assert behind == list(range(1, total + 1))
    assert await up_to_date == list(range(3 * BATCH + 1, total + 1))


@pytest.mark.parametrize(("after", "count"), [(0, 3), (2, 1), (3, 0), (99, 0)])
async def test_following_a_job_that_has_ended_ends_at_once(
    service: Service, after: int, count: int
) -> None:
    job = await make_job(await make_viewer(), service)
    await end(service, job.id)
    async with asyncio.timeout(0.5):
        assert len(await seen_by(service.hub, job.id, after)) == count
        assert [row.status async for row in service.hub.snapshots(job.id)] == [JobStatus.FAILED]


async def test_a_hint_brings_an_event_at_once(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    following = service.hub.follow(job.id, after=1)
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.2)
    await write(service, job.id, 1)
    async with asyncio.timeout(0.5):
        assert (await waiting).seq == 2
    await following.aclose()


async def test_without_redis_events_still_come_within_about_a_second(settings: Settings) -> None:
    settings = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with open_service(settings) as service:
        job = await make_job(await make_viewer(), service)
        following = service.hub.follow(job.id, after=1)
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.1)
        await write(service, job.id, 1)
        async with asyncio.timeout(IDLE_SECONDS + 0.5):
            assert (await waiting).seq == 2
        await following.aclose()


async def test_nonsense_on_the_channel_wakes_nobody_and_kills_nothing(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    following = service.hub.follow(job.id, after=1)
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.2)
    for nonsense in (b"\xff\xfe", b"", b"no id", b"{}"):
        await service.queue.redis.publish(EVENTS_CHANNEL, nonsense)
    await asyncio.sleep(0.1)
    await write(service, job.id, 1)
    async with asyncio.timeout(0.5):
        assert (await waiting).seq == 2
    await following.aclose()


async def test_reads_do_not_grow_with_the_followers_who_are_up_to_date(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.runs.events.IDLE_SECONDS", 60.0)
    few = await _reads_for(service, followers=2, monkeypatch=monkeypatch)
    many = await _reads_for(service, followers=60, monkeypatch=monkeypatch)
    assert few == many == 2 * 10  # the row and its news, for each of ten announcements


async def _reads_for(service: Service, *, followers: int, monkeypatch: pytest.MonkeyPatch) -> int:
    job = await make_job(await make_viewer(), service)
    async with AsyncExitStack() as stack:
        following = [service.hub.follow(job.id, after=1) for _ in range(followers)]
        for each in following:
            stack.push_async_callback(each.aclose)
        waiting = [asyncio.ensure_future(anext(each)) for each in following]
        await asyncio.sleep(0.1)
        client = connections.get("default")
        reads: list[str] = []
        ask = type(client).execute_query

        async def counted(self: object, query: str, values: object = None) -> object:
            if query.startswith("SELECT"):
                reads.append(query)
            return await ask(self, query, values)  # type: ignore[arg-type]  # passed on

        for number in range(2, 12):
            async with transaction():
                seq = await append(job.id, [Entry("WarningRaised")])
            with monkeypatch.context() as patch:
                patch.setattr(type(client), "execute_query", counted)
                await service.queue.publish(job.id, seq)
                got = await asyncio.gather(*waiting)
            assert [event.seq for event in got] == [number] * followers
            waiting = [asyncio.ensure_future(anext(each)) for each in following]
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return len(reads)


async def test_a_feed_is_dropped_when_nobody_follows(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    before = asyncio.all_tasks()
    tasks = [asyncio.create_task(seen_by(service.hub, job.id)) for _ in range(3)]
    await eventually(lambda: job.id in service.hub._feeds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert service.hub._feeds == {}
    assert asyncio.all_tasks() == before


async def test_snapshots_show_the_job_now_and_at_each_change_and_end_with_it(
    service: Service,
) -> None:
    job = await make_job(await make_viewer(), service)
    shown: list[JobStatus] = []

    async def watch() -> None:
        async for row in service.hub.snapshots(job.id):
            shown.append(row.status)  # noqa: PERF401  # looked at while it grows

    watching = asyncio.create_task(watch())
    await eventually(lambda: shown == [JobStatus.QUEUED])
    for status in (JobStatus.PREPARING, JobStatus.TRAINING):
        moved = await move(job.id, status)
        await service.queue.publish(job.id, moved.last_seq)
        await eventually(lambda status=status: shown[-1] is status)
    await end(service, job.id)
    async with asyncio.timeout(2):
        await watching
    assert shown == [
        *(JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.TRAINING, JobStatus.FAILED),
    ]


async def test_a_slow_reader_of_snapshots_skips_to_the_newest(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    snapshots = service.hub.snapshots(job.id)
    assert (await anext(snapshots)).last_seq == 1
    for _ in range(20):
        await write(service, job.id, 5)
    await eventually(lambda: service.hub._feeds[job.id].job.last_seq == 101)
    assert (await anext(snapshots)).last_seq == 101
    await snapshots.aclose()


@pytest.mark.parametrize("error", [OSError("connection refused"), KeyError("unforeseen")])
async def test_a_database_that_is_away_for_a_moment_loses_no_follower(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job = await make_job(await make_viewer(), service)
    following = service.hub.follow(job.id, after=1)
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.1)
    with monkeypatch.context() as patch:

        async def away(*_: object, **__: object) -> TrainingJob:
            raise error

        patch.setattr(events.TrainingJob, "get", away)
        await service.queue.publish(job.id, 2)
        await asyncio.sleep(0.1)
    await write(service, job.id, 1)
    assert (await waiting).seq == 2
    await following.aclose()


async def test_a_hub_closes_in_order_while_it_is_followed(settings: Settings) -> None:
    async with open_service(settings) as service:
        job = await make_job(await make_viewer(), service)
        async with open_hub("redis://127.0.0.1:1/0") as hub:
            following = asyncio.create_task(seen_by(hub, job.id))
            await eventually(lambda: job.id in hub._feeds)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert hub._feeds == {}
