"""The typed client against a real server."""

from datetime import UTC, datetime, timedelta

import pytest

from api.client import Client, NotLoggedIn, Refused, RunOptions, Unreachable
from api.client.results import Session
from api.client.runs import Hyperparameters
from api.local.ports import free_port
from jobs.access import Role, Viewer
from jobs.execution.claims import claim
from jobs.fleet.workers import say_present
from jobs.models import User
from jobs.service import Service
from jobs.status import JobStatus, TaskStatus, VersionStatus
from schema import ids
from tests.api.client.sessions import logged_in, session_of
from tests.api.rows import make_completed_job
from tests.factories import PASSWORD, QA, make_dataset, make_job, make_model, make_viewer
from training.config import DataType
from training.devices.machine import Machine
from training.estimates import EstimateMethod
from training.timing.estimate import TimeMethod


async def test_a_login_is_used_by_the_calls_that_follow(server: str) -> None:
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    async with Client(f"http://{server}") as client:
        session = await client.login("ada@example.org", PASSWORD)
        me = await client.me()
    assert (me.email, me.role) == (viewer.email, Role.TRAINER)
    assert session.refresh_token is not None


async def test_a_wrong_password_is_told_with_the_servers_own_remedy(server: str) -> None:
    async with Client(f"http://{server}") as client:
        with pytest.raises(NotLoggedIn, match="The email or the password is wrong") as caught:
            await client.login("nobody@example.org", "a wrong password")
    assert caught.value.remedy == "Check both; an ADMIN can make an account."


async def test_a_call_without_a_session_says_how_to_get_one(server: str) -> None:
    async with Client(f"http://{server}") as client:
        with pytest.raises(NotLoggedIn) as caught:
            await client.me()
    assert caught.value.code == "UNAUTHENTICATED"


async def test_an_old_token_is_renewed_before_it_is_used(server: str, service: Service) -> None:
    session = await session_of(await make_viewer(), service)
    past = datetime.now(UTC) - timedelta(minutes=1)
    old = session.model_copy(update={"access_token": "gone", "expires_at": past})
    kept: list[Session] = []
    async with Client(f"http://{server}", old, on_refresh=kept.append) as client:
        await client.me()
        await client.me()
    assert len(kept) == 1
    assert kept[0].access_token != "gone"


async def test_a_token_that_is_refused_is_renewed_once(server: str, service: Service) -> None:
    session = await session_of(await make_viewer(), service)
    forged = session.model_copy(update={"access_token": "forged"})
    kept: list[Session] = []
    async with Client(f"http://{server}", forged, on_refresh=kept.append) as client:
        await client.me()
    assert len(kept) == 1


async def test_a_dataset_with_bad_records_is_refused_by_name_or_taken_without_them(
    server: str, service: Service
) -> None:
    records = [*QA, {"question": "Why?"}]
    async with logged_in(server, service) as client:
        with pytest.raises(Refused) as caught:
            await client.create_dataset("sums", records, data_type=DataType.QA)
        dataset = await client.create_dataset(
            "sums", records, data_type=DataType.QA, drop_invalid=True
        )
        assert (await client.datasets()).nodes[0].id == dataset.id
        deleted = await client.delete_dataset(dataset.id)
    assert [each.path for each in caught.value.findings] == [("source", "records", "20")]
    assert (dataset.record_count, dataset.rejected_count) == (20, 1)
    assert [each.line for each in dataset.rejected] == [21]
    assert deleted.freed_bytes > dataset.size_bytes  # the rejected rows are kept, too


async def test_every_finding_of_a_bad_run_arrives(server: str, service: Service) -> None:
    viewer = await make_viewer()
    model = ids.encode(ids.Kind.MODEL, (await make_model(viewer)).id)
    dataset = ids.encode(ids.Kind.DATASET, (await make_dataset(viewer, service)).id)
    bad = RunOptions(hyperparameters=Hyperparameters(learning_rate=-1.0, lora_rank=0))
    async with logged_in(server, service, viewer) as client:
        validation = await client.validate(model, dataset, bad)
        with pytest.raises(Refused) as caught:
            await client.run(model, dataset, bad)
        assert (await client.jobs()).total_count == 0
    places = [("hyperparameters", "learningRate"), ("hyperparameters", "loraRank")]
    assert validation.valid is False
    assert sorted(each.path for each in validation.errors) == places
    assert caught.value.code == "INVALID"
    assert {each.path for each in caught.value.findings} >= set(places)


async def test_a_run_is_told_its_size_before_it_is_started(server: str, service: Service) -> None:
    viewer = await make_viewer()
    model = ids.encode(ids.Kind.MODEL, (await make_model(viewer)).id)
    dataset = ids.encode(ids.Kind.DATASET, (await make_dataset(viewer, service)).id)
    async with logged_in(server, service, viewer) as client:
        unknown = await client.validate(model, dataset, RunOptions())
        machine = Machine(
            device="cpu",
            bfloat16=False,
            threads=2,
            available_bytes=250_000_000,
            operations_per_second=1e11,
        )
        await say_present("small", devices=1, devices_in_use=0, slots=1, machine=machine)
        told = await client.validate(model, dataset, RunOptions())
    assert (unknown.memory, unknown.steps) == (None, 9)
    assert unknown.memory_unknown == "No worker is there that says what it has."
    assert told.memory_unknown is None
    assert told.tokens_trained == unknown.tokens_trained
    assert told.memory is not None
    assert (told.memory.method, told.memory.fits) == (EstimateMethod.CLOSED_FORM, False)
    assert told.memory.available == 250_000_000
    assert told.memory.peak > told.memory.base > 0
    assert unknown.time is None
    assert unknown.time_unknown == "No worker is there that says what it has."
    assert told.time_unknown is None
    assert told.time is not None
    assert (told.time.method, told.time.factor) == (TimeMethod.MACHINE_RATE, 2.0)
    phases = told.time.preparing + told.time.training + told.time.validating
    assert told.time.total == pytest.approx(phases)
    assert told.valid
    assert "MEMORY_MAY_NOT_SUFFICE" in {each.code for each in told.warnings}


async def test_a_run_is_queued_seen_and_cancelled(server: str, service: Service) -> None:
    viewer = await make_viewer()
    model = await make_model(viewer, name="tiny")
    dataset = ids.encode(ids.Kind.DATASET, (await make_dataset(viewer, service)).id)
    async with logged_in(server, service, viewer) as client:
        job = await client.run(ids.encode(ids.Kind.MODEL, model.id), dataset, RunOptions())
        assert (job.status, job.model.name, job.queue_position) == (JobStatus.QUEUED, "tiny", 1)
        assert [each.id for each in (await client.jobs(JobStatus.QUEUED)).nodes] == [job.id]
        cancelled = await client.cancel(job.id)
        with pytest.raises(Refused) as caught:
            await client.cancel(job.id)
    assert cancelled.status is JobStatus.CANCELLED
    assert caught.value.code == "CONFLICT"


async def test_a_run_is_paused_resumed_and_cleaned_up(server: str, service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    job_id = ids.encode(ids.Kind.JOB, job.id)
    async with logged_in(server, service, viewer) as client:
        assert (await client.pause(job_id)).status is JobStatus.PAUSED
        assert (await client.resume(job_id)).status is JobStatus.QUEUED
        with pytest.raises(Refused, match="The job is QUEUED"):
            await client.save_checkpoint(job_id)
        await claim(job.id, "worker", 30)
        assert (await client.save_checkpoint(job_id)).status is JobStatus.PREPARING
        with pytest.raises(Refused, match="PREPARING"):
            await client.clean_up(job_id, 1)
        done = ids.encode(ids.Kind.JOB, (await make_completed_job(viewer, service)).id)
        stored = await client.checkpoints(done)
        assert stored is not None
        cleaned = await client.clean_up(done, 0)
        assert await client.checkpoints(done) == ()
        assert await client.checkpoints("job_of_nobody") is None
    assert [(each.name, each.best, each.requested) for each in stored] == [("epoch-1", True, False)]
    assert (cleaned.deleted, cleaned.kept) == (("epoch-1",), ())


async def test_models_and_versions_are_listed_by_name(server: str, service: Service) -> None:
    viewer = await make_viewer()
    await make_completed_job(viewer, service)
    async with logged_in(server, service, viewer) as client:
        (model,) = (await client.models()).nodes
        found = await client.model(model.name)
        missing = await client.model("no such model")
        (version,) = (await client.versions(model.name)).nodes
    assert found == model
    assert model.status is TaskStatus.READY
    assert missing is None
    assert (version.version, version.status) == ("v1.0.0", VersionStatus.READY)
    assert [(each.before, each.after) for each in version.samples] == [("no", "2")]


async def test_a_list_goes_on_behind_its_cursor(server: str, service: Service) -> None:
    viewer = await make_viewer()
    for _ in range(3):
        await make_job(viewer, service)
    async with logged_in(server, service, viewer) as client:
        first = await client.jobs(first=2)
        rest = await client.jobs(first=2, after=first.end_cursor)
    assert (len(first.nodes), first.has_next_page, first.total_count) == (2, True, 3)
    assert (len(rest.nodes), rest.has_next_page) == (1, False)
    assert len({job.id for job in (*first.nodes, *rest.nodes)}) == 3


async def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with Client(url) as client:
        with pytest.raises(Unreachable, match=url) as caught:
            await client.me()
    assert "tunery up" in (caught.value.remedy or "")


async def test_the_session_of_an_account_that_is_gone_is_refused(
    server: str, service: Service
) -> None:
    viewer: Viewer = await make_viewer()
    async with logged_in(server, service, viewer) as client:
        await User.filter(id=viewer.user_id).delete()
        with pytest.raises(NotLoggedIn):
            await client.me()
