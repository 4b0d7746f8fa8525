"""The table of legal moves, and the compare-and-swap that makes them."""

import pytest

from jobs.errors import Conflict, LeaseLost, NotFound
from jobs.models import TrainingJob
from jobs.runs.history import Lease, finished, move
from jobs.service import Service
from jobs.status import ENDED, HELD, MOVES, JobStatus, sources
from tests.factories import make_job
from tests.jobs.stage import history, kinds, make_viewer

S = JobStatus

LEGAL = {
    (S.QUEUED, S.PREPARING),
    (S.QUEUED, S.PAUSED),
    (S.QUEUED, S.CANCELLED),
    (S.QUEUED, S.FAILED),
    (S.PREPARING, S.TRAINING),
    (S.PREPARING, S.VALIDATING),
    (S.PREPARING, S.COMPLETED),
    (S.PREPARING, S.PAUSING),
    (S.PREPARING, S.CANCELLING),
    (S.PREPARING, S.QUEUED),
    (S.PREPARING, S.FAILED),
    (S.TRAINING, S.VALIDATING),
    (S.TRAINING, S.PAUSING),
    (S.TRAINING, S.CANCELLING),
    (S.TRAINING, S.QUEUED),
    (S.TRAINING, S.FAILED),
    (S.VALIDATING, S.COMPLETED),
    (S.VALIDATING, S.PAUSING),
    (S.VALIDATING, S.CANCELLING),
    (S.VALIDATING, S.QUEUED),
    (S.VALIDATING, S.FAILED),
    (S.PAUSING, S.PAUSED),
    (S.PAUSING, S.CANCELLING),
    (S.PAUSING, S.COMPLETED),
    (S.PAUSING, S.FAILED),
    (S.PAUSED, S.QUEUED),
    (S.PAUSED, S.CANCELLED),
    (S.CANCELLING, S.CANCELLED),
    (S.CANCELLING, S.COMPLETED),
    (S.CANCELLING, S.FAILED),
}


def test_the_table_holds_these_moves_and_no_other() -> None:
    assert {(source, to) for source, targets in MOVES.items() for to in targets} == LEGAL
    assert set(MOVES) == set(JobStatus)
    assert {S.COMPLETED, S.FAILED, S.CANCELLED} == ENDED
    assert {S.PREPARING, S.TRAINING, S.VALIDATING, S.PAUSING, S.CANCELLING} == HELD


async def test_every_move_of_the_table_is_made_and_every_other_refused(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    seq = 1
    for source in JobStatus:
        for to in JobStatus:
            await TrainingJob.filter(id=job.id).update(status=source)
            if (source, to) in LEGAL:
                moved = await move(job.id, to, reason="a test")
                seq += 1
                assert (moved.status, moved.last_seq) == (to, seq)
            else:
                with pytest.raises(Conflict):
                    await move(job.id, to, columns={"crashes": 99})
                left = await TrainingJob.get(id=job.id)
                assert (left.status, left.last_seq, left.crashes) == (source, seq, 0)
    assert len(await history(job.id)) == 1 + len(LEGAL)


async def test_a_move_without_the_lease_is_refused_and_changes_nothing(service: Service) -> None:
    job = await make_job(await make_viewer(), service)
    await move(job.id, S.PREPARING, columns={"worker_id": "one", "attempt": 1})
    for stranger in (Lease("two", 1), Lease("one", 2)):
        with pytest.raises(LeaseLost):
            await move(job.id, S.TRAINING, lease=stranger)
    assert await kinds(job.id) == ["QUEUED", "PREPARING"]
    await move(job.id, S.TRAINING, lease=Lease("one", 1))
    assert await kinds(job.id) == ["QUEUED", "PREPARING", "TRAINING"]


@pytest.mark.usefixtures("service")
async def test_a_move_of_no_job_is_not_found() -> None:
    viewer = await make_viewer()
    with pytest.raises(NotFound):
        await move(viewer.user_id, S.PREPARING)
    assert await TrainingJob.all().count() == 0


def test_sources_are_the_table_read_backwards() -> None:
    assert set(sources(S.CANCELLED)) == {S.QUEUED, S.PAUSED, S.CANCELLING}
    assert set(sources(S.PREPARING)) == {S.QUEUED}


def test_only_an_end_can_finish_a_history() -> None:
    with pytest.raises(ValueError, match="TRAINING"):
        finished(S.TRAINING)
