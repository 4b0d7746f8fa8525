"""Cleaning up checkpoints: what stays, what is freed, and what stands in the way."""

from pathlib import Path
from uuid import UUID

import pytest

from jobs.access import Viewer
from jobs.errors import Conflict, InUse, InvalidInput, NotFound
from jobs.models import AuditEntry, Checkpoint, TrainingJob
from jobs.runs import cleanup, control, lifecycle
from jobs.runs.cleanup import clean_up
from jobs.runs.history import move
from jobs.runs.lifecycle import RunRequest
from jobs.runs.starts import StartRequest
from jobs.service import Service
from jobs.status import JobStatus
from tests.factories import make_job
from tests.jobs.stage import make_viewer
from training.config import StartKind, TrainingType
from training.locking import folder_lock

S = JobStatus

SCORES = (0.9, 0.5, 0.7, None)
"""Of epochs 1 to 3, and of one saved amid epoch 4."""


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


@pytest.fixture
async def job(service: Service, viewer: Viewer) -> TrainingJob:
    """A FAILED job with four checkpoints of 150 bytes each, of which the second is the best."""
    job = await make_job(viewer, service)
    for number, score in enumerate(SCORES, start=1):
        name = f"epoch-{number:03d}-step-{number:06d}"
        await Checkpoint.create(
            job_id=job.id, name=name, epoch=number, step=number, score=score, size_bytes=150
        )
        _write(service.artifacts.checkpoints(job.id) / name)
    return await move(job.id, S.FAILED)


def _write(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"w" * 100)
    (folder / "manifest.json").write_bytes(b"m" * 50)


def _epochs(names: tuple[str, ...] | list[str]) -> list[int]:
    return sorted(int(name[6:9]) for name in names)


async def _left(service: Service, job: TrainingJob) -> tuple[list[int], list[int]]:
    """The epochs of the rows and of the folders."""
    rows = await Checkpoint.filter(job_id=job.id).order_by("step")
    folders = [path.name for path in service.artifacts.checkpoints(job.id).iterdir()]
    return _epochs([row.name for row in rows]), _epochs(folders)


@pytest.mark.parametrize(
    ("keep_best", "kept", "deleted"),
    [
        (0, [], [1, 2, 3, 4]),
        (1, [2], [1, 3, 4]),
        (2, [2, 3], [1, 4]),
        (3, [1, 2, 3], [4]),
        (9, [1, 2, 3], [4]),
    ],
)
async def test_the_best_stay_and_the_bytes_of_the_others_are_freed(
    service: Service,
    viewer: Viewer,
    job: TrainingJob,
    keep_best: int,
    kept: list[int],
    deleted: list[int],
) -> None:
    cleaned = await clean_up(viewer, job.id, keep_best, artifacts=service.artifacts)
    assert _epochs(cleaned.deleted) == deleted
    assert [row.epoch for row in cleaned.kept] == kept
    assert cleaned.freed_bytes == 150 * len(deleted)
    assert await _left(service, job) == (kept, kept)
    entry = await AuditEntry.get(subject_id=job.id, action="cleanupCheckpoints")
    assert _epochs(entry.detail["deleted"]) == deleted
    again = await clean_up(viewer, job.id, keep_best, artifacts=service.artifacts)
    assert (again.deleted, again.freed_bytes, len(again.kept)) == ((), 0, len(kept))


async def test_a_paused_job_keeps_what_it_goes_on_from(
    service: Service, viewer: Viewer, job: TrainingJob
) -> None:
    await TrainingJob.filter(id=job.id).update(status=S.PAUSED)
    cleaned = await clean_up(viewer, job.id, 0, artifacts=service.artifacts)
    assert _epochs(cleaned.deleted) == [1, 2, 3]
    assert await _left(service, job) == ([4], [4])


@pytest.mark.parametrize("status", [S.QUEUED, S.PREPARING, S.TRAINING, S.VALIDATING, S.PAUSING])
async def test_a_job_that_goes_on_is_left_alone(
    service: Service, viewer: Viewer, job: TrainingJob, status: JobStatus
) -> None:
    await TrainingJob.filter(id=job.id).update(status=status)
    with pytest.raises(Conflict, match=status):
        await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    assert await _left(service, job) == ([1, 2, 3, 4], [1, 2, 3, 4])


async def test_a_folder_that_a_child_still_holds_is_left_alone(
    service: Service, viewer: Viewer, job: TrainingJob
) -> None:
    with folder_lock(service.artifacts.job(job.id)) as acquired:
        assert acquired
        with pytest.raises(Conflict, match="still at work"):
            await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    assert await _left(service, job) == ([1, 2, 3, 4], [1, 2, 3, 4])


async def test_a_checkpoint_that_an_unfinished_job_starts_from_is_not_deleted(
    service: Service, viewer: Viewer, job: TrainingJob
) -> None:
    third = await Checkpoint.get(job_id=job.id, epoch=3)
    request = RunRequest(
        job.model_id,
        job.dataset_id,  # type: ignore[arg-type]  # it has one
        TrainingType.LORA,
        {},
        StartRequest(StartKind.CHECKPOINT, third.id),
    )
    started = await lifecycle.submit(
        viewer, request, settings=service.settings, queue=service.queue
    )
    with pytest.raises(InUse, match="epoch-003-step-000003") as caught:
        await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    assert caught.value.job_ids == (started.id,)
    assert await _left(service, job) == ([1, 2, 3, 4], [1, 2, 3, 4])
    assert _epochs((await clean_up(viewer, job.id, 2, artifacts=service.artifacts)).deleted) == [
        *(1, 4)
    ]
    await control.cancel(viewer, started.id, queue=service.queue)
    await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    remembered = await TrainingJob.get(id=started.id)
    assert (remembered.start_job_id, remembered.start_name) == (job.id, third.name)


async def test_what_a_killed_clean_up_left_is_deleted_by_the_next(
    service: Service, viewer: Viewer, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> tuple[list[str], int]:
        raise OSError("the machine went down")

    with monkeypatch.context() as patched:
        patched.setattr(cleanup, "_delete", killed)
        with pytest.raises(OSError, match="went down"):
            await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    assert await _left(service, job) == ([2], [1, 2, 3, 4])
    folder = service.artifacts.checkpoints(job.id)
    (folder / "epoch-001-step-000001").rename(folder / ".epoch-001-step-000001.removed")
    cleaned = await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    assert (_epochs(cleaned.deleted), cleaned.freed_bytes) == ([3, 4], 450)
    assert await _left(service, job) == ([2], [2])


async def test_a_job_that_never_ran_has_nothing_to_delete(service: Service, viewer: Viewer) -> None:
    job = await make_job(viewer, service)
    await control.cancel(viewer, job.id, queue=service.queue)
    cleaned = await clean_up(viewer, job.id, 1, artifacts=service.artifacts)
    assert (cleaned.deleted, cleaned.freed_bytes, cleaned.kept) == ((), 0, ())


async def test_a_bad_number_or_a_strangers_job_is_refused(
    service: Service, viewer: Viewer, job: TrainingJob
) -> None:
    with pytest.raises(InvalidInput, match="keepBest is -1"):
        await clean_up(viewer, job.id, -1, artifacts=service.artifacts)
    for stranger, key in ((await make_viewer(), job.id), (viewer, UUID(int=0))):
        with pytest.raises(NotFound):
            await clean_up(stranger, key, 1, artifacts=service.artifacts)
    assert await _left(service, job) == ([1, 2, 3, 4], [1, 2, 3, 4])
