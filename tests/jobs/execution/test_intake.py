"""A child's events on their way into the database."""

import sqlite3
from pathlib import Path

import pytest
from tortoise import connections
from tortoise.exceptions import OperationalError

from jobs.errors import LeaseLost
from jobs.execution import intake
from jobs.execution.claims import claim
from jobs.execution.intake import EventLog, take
from jobs.models import Checkpoint, Epoch, JobEvent, TrainingJob
from jobs.runs import control
from jobs.runs.history import Lease
from jobs.service import Service
from jobs.status import JobStatus
from tests.factories import MEMORY, make_job
from tests.jobs.stage import (
    CANCELLED,
    COMPLETED,
    checkpoint,
    epoch,
    history,
    kinds,
    make_viewer,
    phase,
    progress,
)
from training.events import (
    DataPrepared,
    Event,
    MemoryEstimated,
    ResourcesUsed,
    Resumed,
    Sample,
    SamplesGenerated,
    StoppedEarly,
    TimeEstimated,
    serialise,
)


class Run:
    """A claimed job and the event file of its child."""

    def __init__(self, job: TrainingJob, folder: Path) -> None:
        self.id = job.id
        self.lease = Lease("worker", job.attempt)
        self.log = EventLog(folder / "events.jsonl", job.log_offset)
        folder.mkdir(parents=True)

    def write(self, *events: Event | bytes) -> None:
        with self.log.path.open("ab") as file:
            for event in events:
                file.write(event if isinstance(event, bytes) else serialise(event))

    async def take(self, *, live: bool = True) -> int | None:
        return await take(self.id, self.lease, self.log, live=live)

    async def row(self) -> TrainingJob:
        return await TrainingJob.get(id=self.id)


@pytest.fixture
async def run(service: Service) -> Run:
    job = await make_job(await make_viewer(), service)
    held = await claim(job.id, "worker", 30)
    assert held is not None
    return Run(held, service.artifacts.job(job.id))


async def test_nothing_is_taken_where_there_is_no_file(run: Run) -> None:
    assert await run.take() is None
    assert (await run.row()).last_seq == 2


async def test_what_was_read_but_not_committed_is_read_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write(progress(1), progress(2))

    async def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(intake, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            await run.take()
    row = await run.row()
    assert (row.log_offset, row.last_seq, row.step) == (0, 2, 0)
    assert await EventLog(run.log.path, row.log_offset).read() == await run.log.read()
    assert await run.take() == 4
    assert await run.take() is None
    assert await kinds(run.id) == ["QUEUED", "PREPARING", "Progress", "Progress"]


async def test_a_commit_whose_answer_was_lost_is_not_done_twice(run: Run) -> None:
    run.write(progress(1))
    forgetful = EventLog(run.log.path, 0)
    assert await run.take() == 3
    run.write(progress(2))
    assert await take(run.id, run.lease, forgetful) == 3
    assert await take(run.id, run.lease, forgetful) == 4
    assert await kinds(run.id) == ["QUEUED", "PREPARING", "Progress", "Progress"]


async def test_a_torn_last_line_waits_until_it_is_whole(run: Run) -> None:
    line = serialise(progress(2))
    run.write(progress(1), line[:20])
    assert await run.take() == 3
    assert await run.take() is None
    assert (await run.row()).step == 1
    run.write(line[20:])
    assert await run.take() == 4
    assert (await run.row()).step == 2


async def test_a_last_word_stays_until_another_line_follows(run: Run) -> None:
    run.write(progress(1), CANCELLED)
    assert await run.take() == 3
    assert await run.take() is None
    assert run.log.last_word == CANCELLED
    run.write(Resumed(checkpoint="epoch-1", epoch=1, step=5), progress(6))
    assert await run.take() == 5
    assert run.log.last_word is None
    run.write(COMPLETED)
    assert await run.take() is None
    assert run.log.last_word == COMPLETED
    assert (await kinds(run.id))[2:] == ["Progress", "Resumed", "Progress"]


async def test_a_strangers_lease_takes_nothing(run: Run) -> None:
    run.write(progress(1))
    for stranger in (Lease("another", run.lease.attempt), Lease("worker", 9)):
        with pytest.raises(LeaseLost):
            await take(run.id, stranger, EventLog(run.log.path, 0))
    row = await run.row()
    assert (row.log_offset, row.last_seq, row.step) == (0, 2, 0)


async def test_a_repeated_epoch_and_checkpoint_overwrite_the_former(run: Run) -> None:
    run.write(epoch(1, 2.0), checkpoint(1, size=100), epoch(2, 1.5))
    await run.take()
    run.write(epoch(2, 1.0), checkpoint(1, size=200))
    await run.take()
    rows = await Epoch.filter(job_id=run.id).order_by("epoch")
    assert [(row.epoch, row.training_loss) for row in rows] == [(1, 2.0), (2, 1.0)]
    saved = await Checkpoint.filter(job_id=run.id)
    assert [(row.name, row.size_bytes) for row in saved] == [("epoch-1", 200)]
    assert (await run.row()).final_epoch == 2
    await history(run.id)


async def test_the_best_checkpoint_moves_and_removed_ones_vanish(run: Run) -> None:
    run.write(checkpoint(1), checkpoint(2, best=False), checkpoint(3, removed=["epoch-1"]))
    await run.take()
    rows = await Checkpoint.filter(job_id=run.id).order_by("epoch")
    assert [(row.name, row.best) for row in rows] == [("epoch-2", False), ("epoch-3", True)]
    run.write(checkpoint(3, best=False), checkpoint(2))
    await run.take()
    rows = await Checkpoint.filter(job_id=run.id).order_by("epoch")
    assert [(row.name, row.best) for row in rows] == [("epoch-2", True), ("epoch-3", False)]


async def test_the_answers_before_and_after_are_joined_by_prompt(run: Run) -> None:
    def samples(stage: str, *answers: tuple[str, str]) -> SamplesGenerated:
        pairs = tuple(Sample(prompt=prompt, answer=answer) for prompt, answer in answers)
        return SamplesGenerated.model_validate({"stage": stage, "samples": pairs})

    run.write(samples("BEFORE", ("one", "?"), ("two", "??")))
    await run.take()
    assert (await run.row()).samples == [
        {"prompt": "one", "before": "?", "after": None},
        {"prompt": "two", "before": "??", "after": None},
    ]
    run.write(samples("AFTER", ("one", "1"), ("two", "2")))
    await run.take()
    assert (await run.row()).samples == [
        {"prompt": "one", "before": "?", "after": "1"},
        {"prompt": "two", "before": "??", "after": "2"},
    ]


async def test_the_row_shows_the_newest_figures(run: Run) -> None:
    prepared = DataPrepared(
        training_records=18,
        validation_records=2,
        dropped_records=0,
        truncated_records=0,
        tokens=500,
        trained_tokens=180,
        total_steps=10,
    )
    run.write(phase("TRAINING"), prepared, progress(3), StoppedEarly(epoch=2, best_epoch=1))
    await run.take()
    row = await run.row()
    assert (row.status, row.total_steps, row.step) == (JobStatus.TRAINING, 10, 3)
    assert (row.progress, row.training_loss, row.stopped_early) == (30.0, 1.7, True)
    assert (row.tokens_per_second, row.estimated_time_remaining) == (50.0, 7.0)
    stored = await JobEvent.get(job_id=run.id, kind="DataPrepared")
    assert stored.data == prepared.model_dump(mode="json", exclude={"kind", "at"})
    assert stored.at == prepared.at


async def test_the_row_holds_the_figures_of_the_newest_attempt(run: Run) -> None:
    memory = MEMORY.model_dump(mode="json")
    run.write(MemoryEstimated(memory=MEMORY), TimeEstimated(seconds=60.5))
    await run.take()
    row = await run.row()
    assert (row.estimate, row.usage) == ({"memory": memory, "seconds": 60.5}, None)
    used = {"peak_memory_bytes": 3_300_000_000, "seconds": 61.5}
    run.write(ResourcesUsed.model_validate(used))
    await run.take()
    row = await run.row()
    told = used | {"worker": row.worker_id}
    assert (row.estimate, row.usage) == ({"memory": memory, "seconds": 60.5}, told)
    run.write(MemoryEstimated(memory=MEMORY.model_copy(update={"base": 1})))
    await run.take()
    row = await run.row()
    assert (row.estimate, row.usage) == ({"memory": memory | {"base": 1}, "seconds": None}, None)


async def test_left_over_phases_are_passed_over_and_the_rest_is_kept(run: Run) -> None:
    run.write(phase("PREPARING"), phase("TRAINING"), progress(4), phase("VALIDATING"))
    await run.take(live=False)
    row = await run.row()
    assert (row.status, row.step) == (JobStatus.PREPARING, 4)
    assert await kinds(run.id) == ["QUEUED", "PREPARING", "Progress"]


async def test_a_phase_does_not_undo_a_cancellation(run: Run, service: Service) -> None:
    job = await run.row()
    viewer = await make_viewer()
    await TrainingJob.filter(id=run.id).update(owner_id=viewer.user_id)
    await control.cancel(viewer, job.id, queue=service.queue)
    run.write(phase("TRAINING"), progress(1), phase("VALIDATING"))
    await run.take()
    assert await kinds(run.id) == ["QUEUED", "PREPARING", "CANCELLING", "Progress"]


async def test_a_backlog_of_several_megabytes_is_taken_whole(run: Run) -> None:
    count = 12_000
    run.write(*(progress(number, count) for number in range(count)))
    assert run.log.path.stat().st_size > 3 * intake.MAX_READ_BYTES
    reads = 0
    while await run.take() is not None:
        reads += 1
    assert reads >= 3
    row = await run.row()
    assert (row.last_seq, row.step) == (2 + count, count - 1)
    assert row.log_offset == run.log.path.stat().st_size
    steps = [event.data["step"] for event in (await history(run.id))[2:]]
    assert steps == list(range(count))


async def test_a_line_longer_than_one_read_is_taken(run: Run) -> None:
    answer = "x" * (2 * intake.MAX_READ_BYTES)
    long = SamplesGenerated(stage="AFTER", samples=(Sample(prompt="one", answer=answer),))
    run.write(CANCELLED, long, progress(1))
    while await run.take() is not None:
        pass
    row = await run.row()
    assert row.samples[0]["after"] == answer
    assert row.step == 1


async def test_a_locked_database_takes_nothing_and_loses_nothing(
    run: Run, service: Service
) -> None:
    await connections.get("default").execute_query("PRAGMA busy_timeout=20")
    run.write(progress(1))
    with sqlite3.connect(service.settings.home / "tunery.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError):
            await run.take()
        assert run.log.offset == 0
        other.execute("ROLLBACK")
    assert await run.take() == 3
