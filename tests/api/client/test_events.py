"""Following a job over a wire that breaks: every event once and in order."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from api.client import Client, NotLoggedIn, Refused
from api.client import client as module
from api.client.events import Event, JobFinished, ProgressReported
from api.client.results import Session
from api.local.ports import free_port
from jobs.models import TrainingJob
from jobs.runs.history import finished
from jobs.service import Service
from jobs.status import JobStatus
from schema import ids
from tests.api.client.proxy import wire_to
from tests.api.client.sessions import logged_in, session_of
from tests.api.rows import PROGRESS, happen
from tests.factories import make_job, make_viewer


async def announce(service: Service, job: TrainingJob, kind: str, **data: Any) -> None:
    await service.queue.publish(job.id, await happen(job, kind, **data))


async def end(service: Service, job: TrainingJob) -> None:
    await TrainingJob.filter(id=job.id).update(status=JobStatus.CANCELLED)
    entry = finished(JobStatus.CANCELLED)
    await announce(service, job, entry.kind, **entry.data)


async def test_a_wire_that_is_cut_costs_no_event_and_doubles_none(
    server: str, service: Service
) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    job_id = ids.encode(ids.Kind.JOB, job.id)
    seen: list[Event] = []
    async with wire_to(server) as wire:
        session = await session_of(viewer, service)
        async with Client(wire.url, session) as client, aclosing(client.events(job_id)) as events:
            async for event in events:
                seen.append(event)
                if event.seq in (1, 2, 4):
                    wire.cut()
                    await announce(service, job, "Progress", **PROGRESS)
                    await announce(service, job, "Progress", **PROGRESS)
                elif event.seq == 7:
                    await end(service, job)
        assert wire.connections == 4
    assert [event.seq for event in seen] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(isinstance(event, ProgressReported) for event in seen[1:7])
    assert isinstance(seen[7], JobFinished)
    assert seen[7].status is JobStatus.CANCELLED


async def test_following_from_the_last_event_of_an_ended_job_ends_at_once(
    server: str, service: Service
) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    await end(service, job)
    async with logged_in(server, service, viewer) as client:
        after = (await TrainingJob.get(id=job.id)).last_seq
        events = client.events(ids.encode(ids.Kind.JOB, job.id), after)
        assert [event async for event in events] == []


async def test_another_users_job_is_refused(server: str, service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    async with logged_in(server, service) as client:
        with pytest.raises(Refused) as caught:
            await anext(client.events(ids.encode(ids.Kind.JOB, job.id)))
    assert caught.value.code == "NOT_FOUND"


async def test_a_token_that_does_not_hold_is_not_tried_forever(server: str) -> None:
    async with Client(f"http://{server}", Session(access_token="forged")) as client:
        with pytest.raises(NotLoggedIn):
            await anext(client.events("job_1"))


async def test_a_token_refused_on_the_socket_is_renewed(server: str, service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    session = await session_of(viewer, service)
    forged = session.model_copy(update={"access_token": "forged"})
    async with (
        Client(f"http://{server}", forged) as client,
        aclosing(client.events(ids.encode(ids.Kind.JOB, job.id))) as events,
    ):
        first = await anext(events)
    assert first.seq == 1


async def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    async with (
        asyncio.timeout(10),
        Client(f"http://127.0.0.1:{free_port()}", Session(access_token="any")) as client,
    ):
        with pytest.raises(module.Unreachable):
            await anext(client.events("job_1"))
