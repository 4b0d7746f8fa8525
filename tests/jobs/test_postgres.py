"""The same guarantees on PostgreSQL, where TUNERY_TEST_POSTGRES_URL names a server."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from jobs.access import Viewer
from jobs.data import deletion, uploads
from jobs.data.datasets import OnInvalid
from jobs.data.derivation import DerivationDraft, derive
from jobs.data.uploads import Announced
from jobs.database import migrate, transaction
from jobs.errors import Conflict, InUse, InvalidInput, NotFound, QuotaExceeded
from jobs.execution.sweep import sweep
from jobs.models import (
    Checkpoint,
    Dataset,
    DatasetVersion,
    Derivation,
    Examination,
    TokenExamination,
    TrainingJob,
    Upload,
)
from jobs.preview import examining
from jobs.preview.examining import ExaminationRequest
from jobs.preview.run_examinations import Known, known
from jobs.runs import control, lifecycle
from jobs.runs.cleanup import Cleaned, clean_up
from jobs.runs.lifecycle import RunRequest
from jobs.runs.starts import StartRequest
from jobs.service import Service, open_service
from jobs.settings import Settings
from jobs.status import JobStatus, TaskStatus
from tests.api.rows import make_completed_job
from tests.factories import make_dataset, make_job, make_model
from tests.hub import hub_for_children
from tests.ingesting import examine, ingest
from tests.jobs.data.test_hub_datasets import queued as from_hub
from tests.jobs.data.test_ingest import queued, uploaded
from tests.jobs.data.test_uploads import put
from tests.jobs.registry.test_making import numbers_of_versions_begun_at_once
from tests.jobs.runs.test_events import WRITER, last_seq, seen_by
from tests.jobs.stage import (
    Step,
    as_environment,
    attempt,
    eventually,
    hammer,
    has_status,
    history,
    kinds,
    make_viewer,
    phase,
    progress,
    say,
    script_job,
    start_python,
)
from tests.jobs.test_database import MIGRATE, MIGRATIONS
from tests.jobs.test_worker import END
from training.config import StartKind, TrainingType, resolve
from training.data.derivation import LineRange
from training.data.doctor.report import Report

URL = os.environ.get("TUNERY_TEST_POSTGRES_URL", "")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.skipif(not URL, reason="TUNERY_TEST_POSTGRES_URL names no PostgreSQL server"),
]


@pytest.fixture
async def empty(settings: Settings) -> AsyncIterator[Settings]:
    """Settings with a database of the test's own, not yet migrated."""
    name = f"tunery_test_{uuid4().hex[:12]}"
    server = await asyncpg.connect(URL)
    await server.execute(f'CREATE DATABASE "{name}"')
    try:
        base = URL.rpartition("/")[0]
        yield settings.model_copy(update={"database_url": f"{base}/{name}"})
    finally:
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await server.close()


@pytest.fixture
async def postgres(empty: Settings) -> AsyncIterator[Service]:
    await asyncio.create_task(migrate(empty))
    EXECUTOR_CACHE.clear()  # Tortoise keeps statements by table, in the dialect of the first to ask
    async with open_service(empty) as service:
        yield service
    EXECUTOR_CACHE.clear()


async def disconnect_everybody(service: Service) -> int:
    """End every connection to the database but the one that asks; how many there were."""
    other = await asyncpg.connect(service.settings.database)
    rows = await other.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await other.close()
    return len(rows)


async def test_processes_that_migrate_at_once_do_it_once(empty: Settings) -> None:
    processes = []
    for number in range(4):
        home = empty.home / str(number)  # as on several machines, which share no lock file
        environment = as_environment(empty) | {"TUNERY_HOME": str(home)}
        processes.append(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", MIGRATE),
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )
    outputs = [await process.communicate() for process in processes]
    assert [error.decode() for _, error in outputs] == [""] * 4
    applied = sorted((json.loads(output) for output, _ in outputs), key=len)
    assert applied == [[], [], [], MIGRATIONS]


async def test_two_processes_claim_each_job_once_and_lose_no_event_number(
    postgres: Service,
) -> None:
    viewer = await make_viewer()
    jobs = [await make_job(viewer, postgres) for _ in range(3)]
    await hammer(postgres, jobs, processes=2)


async def test_versions_begun_at_once_have_numbers_of_their_own(postgres: Service) -> None:
    names = await numbers_of_versions_begun_at_once(await make_viewer(), postgres)
    assert names == [f"v1.{number}.0" for number in range(5)]


async def test_followers_who_join_at_any_time_see_every_event_once_and_in_order(
    postgres: Service,
) -> None:
    viewer = await make_viewer()
    jobs = [await make_job(viewer, postgres) for _ in range(5)]
    dice = random.Random(7)

    async def join(number: int) -> None:
        job_id = jobs[number % 5].id
        await asyncio.sleep(dice.uniform(0, 2))
        seen = await seen_by(postgres.hub, job_id)
        assert seen == list(range(1, await last_seq(job_id) + 1))

    arguments = [str(job.id) for job in jobs]
    writer = await start_python(WRITER, "80", *arguments, **as_environment(postgres.settings))
    await asyncio.gather(*(join(number) for number in range(50)))
    assert await writer.wait() == 0


async def test_of_a_submission_and_a_clean_up_at_once_exactly_one_gets_the_checkpoint(
    postgres: Service,
) -> None:
    viewer = await make_viewer()
    for _ in range(12):
        source = await make_completed_job(viewer, postgres)
        checkpoint = await Checkpoint.get(job_id=source.id)
        assert source.dataset_id is not None
        request = RunRequest(
            source.model_id,
            source.dataset_id,
            TrainingType.LORA,
            {},
            StartRequest(StartKind.CHECKPOINT, checkpoint.id),
        )
        started, cleaned = await asyncio.gather(
            lifecycle.submit(viewer, request, settings=postgres.settings, queue=postgres.queue),
            clean_up(viewer, source.id, 0, artifacts=postgres.artifacts),
            return_exceptions=True,
        )
        left = await Checkpoint.filter(id=checkpoint.id).count()
        if isinstance(started, NotFound):
            assert isinstance(cleaned, Cleaned)
            assert left == await TrainingJob.filter(start_job_id=source.id).count() == 0
        else:
            assert isinstance(started, TrainingJob)
            assert isinstance(cleaned, InUse)
            assert (left, cleaned.job_ids) == (1, (started.id,))


async def test_pauses_and_resumes_at_once_leave_one_consistent_history(postgres: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, postgres)
    deeds = [control.pause, control.resume] * 10
    await asyncio.gather(
        *(deed(viewer, job.id, queue=postgres.queue) for deed in deeds), return_exceptions=True
    )
    moves = await kinds(job.id)
    assert all(before != after for before, after in pairwise(moves))
    assert (await TrainingJob.get(id=job.id)).status == moves[-1]


async def give_back_and_fail(pool: asyncpg.Pool, connection: object, **options: object) -> None:
    """What a pool does where the server ends a connection amid its way back."""
    await RELEASE(pool, connection, **options)
    raise asyncpg.InternalClientError("another operation is in progress")


async def look_at(job: TrainingJob, error: Exception | None) -> None:
    async with transaction():
        await TrainingJob.filter(id=job.id).select_for_update()
        if error:
            raise error


RELEASE = asyncpg.Pool.release


@pytest.mark.parametrize("within", [None, asyncpg.InterfaceError("lost")])
async def test_after_a_connection_that_was_not_given_back_the_task_goes_on_with_another(
    postgres: Service, monkeypatch: pytest.MonkeyPatch, within: Exception | None
) -> None:
    job = await make_job(await make_viewer(), postgres)
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Pool, "release", give_back_and_fail)
        with pytest.raises(type(within) if within else asyncpg.InternalClientError):
            await look_at(job, within)
    async with transaction():
        assert await TrainingJob.all().count() == 1


@pytest.mark.usefixtures("scripted")
async def test_connections_lost_in_the_middle_of_a_run_lose_nothing(postgres: Service) -> None:
    job = await make_job(await make_viewer(), postgres)
    steps = [say(progress(n)) if n % 2 else ["sleep", 0.02] for n in range(1, 81)]
    run: list[Step] = [say(phase("PREPARING"), phase("TRAINING")), *steps, *END]
    script_job(postgres, job.id, run)
    following = asyncio.create_task(seen_by(postgres.hub, job.id))
    running = asyncio.create_task(attempt(postgres, job.id))
    await eventually(lambda: has_status(job.id, JobStatus.TRAINING))
    cut = 0
    while not running.done():
        cut += await disconnect_everybody(postgres)
        await asyncio.sleep(0.15)
    await running
    assert cut >= 5
    done = await TrainingJob.get(id=job.id)
    assert (done.status, done.attempt, done.crashes) == (JobStatus.COMPLETED, 1, 0)
    taken = [event.data["step"] for event in await history(job.id) if event.kind == "Progress"]
    assert taken == list(range(1, 81, 2))
    assert await following == list(range(1, done.last_seq + 1))


async def test_uploads_announced_at_once_do_not_get_past_the_quota(postgres: Service) -> None:
    viewer = await make_viewer()
    settings = postgres.settings.model_copy(update={"upload_quota_bytes": 300})
    answers = await asyncio.gather(
        *(uploads.create(viewer, Announced("f", 100), settings=settings) for _ in range(12)),
        return_exceptions=True,
    )
    assert [type(each) for each in answers if isinstance(each, Exception)] == [QuotaExceeded] * 9
    assert await Upload.all().count() == 3
    await put(postgres, (await Upload.all())[0], bytes(100))
    await Upload.all().update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await sweep(postgres.settings, postgres.queue)
    assert await Upload.all().count() == 0
    assert postgres.artifacts.upload_folders() == {}


async def test_of_a_dataset_another_and_a_deletion_at_once_one_gets_the_upload(
    postgres: Service,
) -> None:
    viewer = await make_viewer()
    for _ in range(6):
        upload = await uploaded(postgres, viewer)
        deeds = [
            queued(postgres, viewer, upload),
            uploads.delete(viewer, upload.id, artifacts=postgres.artifacts),
            queued(postgres, viewer, upload),
        ]
        outcomes = await asyncio.gather(*deeds, return_exceptions=True)
        done = [each for each in outcomes if not isinstance(each, BaseException)]
        refused = [each for each in outcomes if isinstance(each, BaseException)]
        assert len(done) == 1
        assert all(isinstance(each, Conflict | NotFound) for each in refused)
        if isinstance(done[0], Dataset):
            ready = await ingest(postgres, done[0].id)
            assert (ready.status, ready.record_count) == (TaskStatus.READY, 20)
        assert await Upload.all().count() == 0


async def test_a_dataset_of_hostile_rows_can_be_stored(postgres: Service) -> None:
    viewer = await make_viewer()
    content = b'{"text": "a", "b\\u0000": 1, "\\ud800": 2}\n{"text": "\\u0000"}\n'
    upload = await uploaded(postgres, viewer, content)
    dataset = await queued(postgres, viewer, upload, OnInvalid.DROP)
    ready = await ingest(postgres, dataset.id)
    assert (ready.status, ready.rejected_count) == (TaskStatus.READY, 1)
    assert ready.left_out == {"b\\0": 1, "\\ud800": 1}


async def test_a_dataset_is_examined_and_gone_with_its_report(postgres: Service) -> None:
    viewer = await make_viewer()
    dataset = await make_dataset(viewer, postgres)
    examination = await examine(postgres, dataset.id)
    assert examination.status is TaskStatus.READY
    assert Report.model_validate(examination.report).statistics.records == dataset.record_count
    await deletion.delete(viewer, dataset.id, artifacts=postgres.artifacts)
    assert await Examination.all().count() == 0


async def test_tokens_are_examined_once_for_all_who_ask_at_once_and_gone_with_the_dataset(
    postgres: Service,
) -> None:
    viewer = await make_viewer()
    dataset, model = await make_dataset(viewer, postgres), await make_model(viewer)
    template = "{% for message in messages %}\0{{ message['content'] }}{% endfor %}"

    async def ask(**choices: object) -> TokenExamination:
        row = await examining.examine(
            viewer,
            ExaminationRequest(dataset.id, model.id, choices),
            artifacts=postgres.artifacts,
            queue=postgres.queue,
        )
        assert isinstance(row, TokenExamination)
        return row

    rows = await asyncio.gather(*(ask() for _ in range(8)))
    assert len({row.id for row in rows}) == 1
    config = resolve(TrainingType.LORA, {})
    assert await known(dataset.id, model.id, config) == Known(asked=rows[0], ready=None)
    with pytest.raises(InvalidInput):
        await ask(chat_template=template)
    await deletion.delete(viewer, dataset.id, artifacts=postgres.artifacts)
    assert await TokenExamination.all().count() == 0


async def test_what_a_stranger_named_at_the_hub_can_be_stored(
    postgres: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await make_viewer()
    with hub_for_children(monkeypatch):
        made = await from_hub(postgres, viewer, id="ann/strange")
        ready = await ingest(postgres, made.id)
        assert ready.hub is not None
        assert (ready.status, ready.hub["config"]) == (TaskStatus.READY, "a\\0\\ud800")
        missing = await from_hub(postgres, viewer, id="ann/strange", split="dev")
        failed = await ingest(postgres, missing.id)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == (TaskStatus.FAILED, "HUB_SPLIT_UNKNOWN")
    assert "configuration a\\0\\ud800" in failed.error["message"]


async def test_datasets_derived_at_once_are_of_one_line(postgres: Service) -> None:
    viewer = await make_viewer()
    first = await make_dataset(viewer, postgres)
    begun = await asyncio.gather(
        *(_derive(viewer, postgres, first, remove=[LineRange(n, n)]) for n in range(1, 5))
    )
    made = await asyncio.gather(*(ingest(postgres, each.id) for each in begun))
    assert {each.status for each in made} == {TaskStatus.READY}
    versions = await DatasetVersion.all().order_by("number")
    assert [version.number for version in versions] == [1, *[2] * 4]
    assert {version.root_id for version in versions} == {versions[0].id}
    for each in (*made[:2], first, *made[2:]):
        await deletion.delete(viewer, each.id, artifacts=postgres.artifacts)
    assert await DatasetVersion.all().count() == 0


async def _derive(viewer: Viewer, postgres: Service, parent: Dataset, **wanted: Any) -> Dataset:
    draft = DerivationDraft(parent.id, **wanted)
    return await derive(viewer, draft, settings=postgres.settings, queue=postgres.queue)


async def test_of_a_derivation_and_a_deletion_at_once_one_is_done(postgres: Service) -> None:
    viewer = await make_viewer()
    for _ in range(10):
        parent = await make_dataset(viewer, postgres)
        made, deleted = await asyncio.gather(
            _derive(viewer, postgres, parent, remove=[LineRange(1, 1)]),
            deletion.delete(viewer, parent.id, artifacts=postgres.artifacts),
            return_exceptions=True,
        )
        if isinstance(made, BaseException):
            assert isinstance(made, NotFound)
            assert not isinstance(deleted, BaseException)
        else:
            assert isinstance(deleted, Conflict)
            for each in (made, parent):
                await deletion.delete(viewer, each.id, artifacts=postgres.artifacts)
    assert (await Dataset.all().count(), await Derivation.all().count()) == (0, 0)


async def test_what_no_column_of_json_can_hold_is_sent_to_be_added(postgres: Service) -> None:
    viewer = await make_viewer()
    parent = await make_dataset(viewer, postgres)
    sent = [{"question": "a\0\ud800", "answer": "x"}, {"question": "Who?", "answer": "You."}]
    begun = await _derive(viewer, postgres, parent, records=sent, on_invalid=OnInvalid.DROP)
    ready = await ingest(postgres, begun.id)
    assert (ready.record_count, ready.rejected_count) == (21, 1)


async def test_jobs_that_train_and_test_with_each_others_datasets_do_not_wait_for_ever(
    postgres: Service,
) -> None:
    viewer = await make_viewer()
    model = await make_model(viewer)
    a = await make_dataset(viewer, postgres)
    b = await make_dataset(viewer, postgres, records=[{"question": "Who?", "answer": "You."}] * 20)
    requests = [
        RunRequest(model.id, trained.id, TrainingType.LORA, {}, validation_dataset_id=tested.id)
        for trained, tested in [(a, b), (b, a)] * 10
    ]
    jobs = await asyncio.wait_for(
        asyncio.gather(
            *(
                lifecycle.submit(viewer, each, settings=postgres.settings, queue=postgres.queue)
                for each in requests
            )
        ),
        timeout=30,
    )
    assert len(jobs) == 20
    for dataset in (a, b):
        with pytest.raises(InUse) as caught:
            await deletion.delete(viewer, dataset.id, artifacts=postgres.artifacts)
        assert len(caught.value.job_ids) == 20
