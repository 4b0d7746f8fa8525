"""Datasets: five types, refused records, and deletion beside jobs."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.data import dataset_files, datasets, deletion
from jobs.data.datasets import Draft, OnInvalid
from jobs.errors import InUse, InvalidInput, NotFound, TuneryError
from jobs.models import AuditEntry, Dataset, ModelVersion, TrainingJob
from jobs.pages import Page
from jobs.runs import lifecycle
from jobs.service import Service
from jobs.status import JobStatus, TaskStatus
from tests.factories import QA, make_dataset, make_job, make_model
from tests.jobs.stage import WHOLE_RUN, attempt, make_viewer, script_job
from training.config import DataType, TrainingType

RECORDS: dict[DataType, list[dict[str, object]]] = {
    DataType.TEXT: [{"text": "It rains."}, {"text": "Es regnet — schön."}],
    DataType.CODE: [{"code": "x = 1", "language": "python"}, {"code": "y"}],
    DataType.QA: [{"question": "1+1?", "answer": "2"}, {"question": "?", "answer": "!"}],
    DataType.COMPLETION: [{"prompt": "Once", "completion": " upon"}],
    DataType.CHAT: [
        {
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Good day"},
            ]
        }
    ],
}


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def create(service: Service, viewer: Viewer, **changes: Any) -> Dataset:
    draft = {"name": "d", "description": None, "data_type": DataType.QA, "records": QA}
    return await datasets.create(viewer, Draft(**draft | changes), artifacts=service.artifacts)


def files(service: Service) -> list[Path]:
    return [path for path in service.artifacts.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data_type", list(DataType))
async def test_a_dataset_of_each_type_is_stored_as_it_was_sent(
    service: Service, viewer: Viewer, data_type: DataType
) -> None:
    sent = RECORDS[data_type]
    dataset = await create(service, viewer, data_type=data_type, records=sent)
    stored = service.artifacts.records(dataset.id).read_bytes()
    assert [json.loads(line) for line in stored.splitlines()] == sent
    assert (dataset.record_count, dataset.size_bytes) == (len(sent), len(stored))
    assert dataset.sha256 == hashlib.sha256(stored).hexdigest()
    assert (dataset.status, dataset.progress, dataset.rejected_count) == (
        TaskStatus.READY,
        100.0,
        0,
    )
    assert not service.artifacts.rejected(dataset.id).exists()
    read = await dataset_files.records(dataset, first=1, after_line=0, artifacts=service.artifacts)
    assert read == [(1, sent[0])]


async def test_records_are_read_by_line(service: Service, viewer: Viewer) -> None:
    dataset = await create(service, viewer)
    read = await dataset_files.records(dataset, first=2, after_line=18, artifacts=service.artifacts)
    assert read == [(19, QA[18]), (20, QA[19])]
    assert (
        await dataset_files.records(dataset, first=5, after_line=20, artifacts=service.artifacts)
        == []
    )


BAD = [QA[0], {"question": "no answer"}, "no object", QA[1], {"question": 1, "answer": "x"}]


async def test_bad_records_are_named_by_line_and_nothing_is_stored(
    service: Service, viewer: Viewer
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(service, viewer, records=BAD)
    findings = caught.value.findings
    assert caught.value.message == "3 of 5 records are invalid."
    assert [finding.path for finding in findings] == [
        ("source", "records", "1"),
        ("source", "records", "2"),
        ("source", "records", "4"),
    ]
    assert findings[0].message.startswith("Record 2: ")
    assert await Dataset.all().count() == 0
    assert files(service) == []


async def test_bad_records_are_dropped_where_that_was_asked(
    service: Service, viewer: Viewer
) -> None:
    dataset = await create(service, viewer, records=BAD, on_invalid=OnInvalid.DROP)
    assert dataset.record_count == 2
    rejected = await dataset_files.rejected(dataset, first=2, after=1, artifacts=service.artifacts)
    assert [(number, each.line, each.code) for number, each in rejected] == [
        (2, 3, "NOT_AN_OBJECT"),
        (3, 5, "NOT_A_STRING"),
    ]
    assert dataset.rejected_count == 3
    read = await dataset_files.records(dataset, first=9, after_line=0, artifacts=service.artifacts)
    assert read == [(1, QA[0]), (2, QA[1])]


@pytest.mark.parametrize("on_invalid", list(OnInvalid))
@pytest.mark.parametrize(
    ("records", "code"), [([], "EMPTY_DATASET"), ([{"question": "?"}] * 3, None)]
)
async def test_a_dataset_without_a_good_record_is_refused(
    service: Service, viewer: Viewer, records: list[object], code: str | None, on_invalid: OnInvalid
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(service, viewer, records=records, on_invalid=on_invalid)
    if code:
        assert [finding.code for finding in caught.value.findings] == [code]
    else:
        assert len(caught.value.findings) == 3
    assert await Dataset.all().count() == 0
    assert files(service) == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\x00b", "\ud800"])
async def test_a_bad_name_is_refused(service: Service, viewer: Viewer, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(service, viewer, name=name)
    assert [finding.code for finding in caught.value.findings] == ["NAME"]
    assert await Dataset.all().count() == 0
    assert files(service) == []


@pytest.mark.parametrize("description", ["x" * 10_001, "a\x00b", "\ud800"])
async def test_a_description_that_cannot_be_stored_is_refused(
    service: Service, viewer: Viewer, description: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(service, viewer, description=description)
    assert [finding.code for finding in caught.value.findings] == ["DESCRIPTION"]
    assert await Dataset.all().count() == 0


async def test_a_name_is_taken_without_the_blanks_around_it(
    service: Service, viewer: Viewer
) -> None:
    dataset = await create(service, viewer, name="  sums ", description="Zeile 1\nZeile 2\tü")
    assert (dataset.name, dataset.description) == ("sums", "Zeile 1\nZeile 2\tü")


async def test_who_may_see_a_dataset(service: Service, viewer: Viewer) -> None:
    dataset = await create(service, viewer)
    await create(service, viewer, data_type=DataType.TEXT, records=RECORDS[DataType.TEXT])
    stranger, admin = await make_viewer(), await make_viewer(Role.ADMIN)
    with pytest.raises(NotFound):
        await datasets.get(stranger, dataset.id)
    with pytest.raises(NotFound):
        await deletion.delete(stranger, dataset.id, artifacts=service.artifacts)
    assert (await datasets.get(admin, dataset.id)).id == dataset.id
    assert (await datasets.listing(stranger, Page.of(5))).rows == []
    qa = await datasets.listing(viewer, Page.of(5), data_type=DataType.QA)
    assert [row.id for row in qa.rows] == [dataset.id]
    assert len((await datasets.listing(admin, Page.of(5), user_id=viewer.user_id)).rows) == 2
    assert (await datasets.listing(stranger, Page.of(5), user_id=viewer.user_id)).rows == []


async def test_a_dataset_that_a_job_needs_is_not_deleted_and_nothing_changes(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    assert job.dataset_id is not None
    with pytest.raises(InUse) as caught:
        await deletion.delete(viewer, job.dataset_id, artifacts=service.artifacts)
    assert caught.value.job_ids == (job.id,)
    kept = await datasets.get(viewer, job.dataset_id)
    assert (kept.deleting, kept.uses) == (False, 1)
    assert service.artifacts.records(kept.id).is_file()
    assert await AuditEntry.filter(action="deleteDataset").count() == 0


@pytest.mark.usefixtures("scripted")
async def test_a_deletion_after_the_job_ended_keeps_job_and_version(
    service: Service, viewer: Viewer
) -> None:
    job = await make_job(viewer, service)
    script_job(service, job.id, WHOLE_RUN)
    await attempt(service, job.id)
    assert job.dataset_id is not None
    size = service.artifacts.records(job.dataset_id).stat().st_size
    tokens = service.artifacts.dataset(job.dataset_id) / "tokens" / "key" / "rows"
    tokens.mkdir(parents=True)
    (tokens / "rows.arrow").write_bytes(bytes(1000))
    deleted = await deletion.delete(viewer, job.dataset_id, artifacts=service.artifacts)
    assert (deleted.id, deleted.deleted_rows, deleted.freed_bytes) == (
        job.dataset_id,
        2,  # and its examination
        size + 1000,
    )
    assert not service.artifacts.dataset(job.dataset_id).exists()
    kept = await TrainingJob.get(id=job.id)
    assert (kept.dataset_id, kept.dataset_name, kept.status) == (None, "sums", JobStatus.COMPLETED)
    assert kept.dataset_sha256 == job.dataset_sha256
    assert await ModelVersion.filter(job_id=job.id).count() == 1
    with pytest.raises(NotFound):
        await deletion.delete(viewer, job.dataset_id, artifacts=service.artifacts)


async def test_submissions_beside_a_deletion_never_leave_a_job_without_its_data(
    service: Service, viewer: Viewer
) -> None:
    model = await make_model(viewer)
    for _ in range(8):
        dataset = await make_dataset(viewer, service)
        request = lifecycle.RunRequest(model.id, dataset.id, TrainingType.LORA, {})
        deeds = [
            lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue),
            deletion.delete(viewer, dataset.id, artifacts=service.artifacts),
            lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue),
        ]
        outcomes = await asyncio.gather(*deeds, return_exceptions=True)
        assert all(
            isinstance(each, TuneryError) for each in outcomes if isinstance(each, BaseException)
        )
        is_there = await Dataset.filter(id=dataset.id).exists()
        assert is_there is service.artifacts.records(dataset.id).is_file()
        jobs = await TrainingJob.filter(status=JobStatus.QUEUED, dataset_id=None).count()
        assert jobs == 0
        assert is_there is (await TrainingJob.filter(dataset_id=dataset.id).exists())


async def test_a_dataset_that_cannot_be_recorded_leaves_no_file(
    service: Service, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr("jobs.audit.record", fail)
    with pytest.raises(OSError, match="no more"):
        await create(service, viewer)
    assert await Dataset.all().count() == 0
    assert files(service) == []
