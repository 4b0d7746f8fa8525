"""Earlier runs that tell how long the next one takes, and what is told of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.access import Viewer
from jobs.fleet.workers import say_present
from jobs.models import Epoch, TrainingJob
from jobs.runs import lifecycle
from jobs.runs.earlier import earlier_run
from jobs.runs.forecasts import Forecast
from jobs.runs.history import JOB_FINISHED, STATUS_CHANGED, Entry, append
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import JobStatus
from tests.factories import make_job
from tests.jobs.stage import make_viewer
from training.config import TrainingConfig, TrainingType, resolve
from training.devices.machine import Machine
from training.timing.estimate import EarlierRun, TimeMethod

HERE = "some-host-17-cafe"
MACHINE = Machine(device="cpu", bfloat16=True, threads=2, available_bytes=8_000_000_000)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DATA = {
    "training_records": 18,
    "validation_records": 2,
    "dropped_records": 0,
    "truncated_records": 0,
    "tokens": 540,
    "trained_tokens": 180,
    "total_steps": 9,
}


async def completed(
    viewer: Viewer, service: Service, *, worker: str = HERE, epochs: int = 3, **columns: Any
) -> TrainingJob:
    """A job that took 5 seconds to prepare, 30 to train and 1 to validate."""
    job = await make_job(viewer, service)
    moments = (("PREPARING", 0), ("TRAINING", 5), ("VALIDATING", 35), ("COMPLETED", 36))
    entries = [
        Entry(STATUS_CHANGED, {"from": None, "to": to}, BEGAN + timedelta(seconds=seconds))
        for to, seconds in moments
    ]
    ended = BEGAN + timedelta(seconds=36)
    entries += [Entry("DataPrepared", DATA), Entry(JOB_FINISHED, {}, ended)]
    await append(job.id, entries)
    for number in range(1, epochs + 1):
        await Epoch.create(
            job_id=job.id,
            epoch=number,
            training_loss=1.0,
            training_accuracy=0.5,
            duration_seconds=10.0,
        )
    usage = {"peak_memory_bytes": 1, "seconds": 36.0, "worker": worker}
    done = {"status": JobStatus.COMPLETED, "attempt": 1, "usage": usage, "finished_at": ended}
    await TrainingJob.filter(id=job.id).update(**done | columns)
    return await TrainingJob.get(id=job.id)


async def look(viewer: Viewer, job: TrainingJob, config: TrainingConfig) -> EarlierRun | None:
    return await earlier_run(
        viewer,
        job.model_id,
        config,
        dataset_sha256=job.dataset_sha256,
        worker="some-host-99-beef",
    )


async def test_a_completed_run_of_the_same_method_on_that_machine_tells(service: Service) -> None:
    viewer = await make_viewer()
    job = await completed(viewer, service)
    told = await look(viewer, job, resolve(TrainingType.LORA, {"epochs": 50}))
    assert told == EarlierRun(
        config=TrainingConfig.model_validate(job.config),
        training_records=18,
        validation_records=2,
        tokens=540,
        trained_tokens=180,
        steps=9,
        same_rows=True,
        preparing_seconds=5.0,
        training_seconds=30.0,
        validating_seconds=1.0,
    )
    shorter = await look(viewer, job, resolve(TrainingType.LORA, {"max_sequence_length": 8}))
    assert shorter is not None
    assert shorter.same_rows is False
    assert await look(viewer, job, resolve(TrainingType.FULL, {})) is None
    assert await look(viewer, job, resolve(TrainingType.LORA, {"devices": 2})) is None
    assert await look(viewer, job, resolve(TrainingType.LORA, {"dora": True})) is None
    assert await look(await make_viewer(), job, resolve(TrainingType.LORA, {})) is None


@pytest.mark.parametrize(
    "differs",
    [
        {"worker": "other-host-17-cafe"},
        {"attempt": 2},
        {"status": JobStatus.FAILED},
        {"usage": None},
        {"usage": {"peak_memory_bytes": 1, "seconds": 36.0}},
    ],
)
async def test_other_runs_tell_nothing(service: Service, differs: dict[str, Any]) -> None:
    viewer = await make_viewer()
    job = await completed(viewer, service, **differs)
    assert await look(viewer, job, resolve(TrainingType.LORA, {})) is None


async def test_a_run_that_stopped_early_took_fewer_steps(service: Service) -> None:
    viewer = await make_viewer()
    job = await completed(viewer, service, epochs=2)
    told = await look(viewer, job, resolve(TrainingType.LORA, {}))
    assert told is not None
    assert told.steps == 6


async def forecast_of(
    viewer: Viewer, service: Service, job: TrainingJob, **choices: Any
) -> Forecast:
    assert job.dataset_id is not None
    request = RunRequest(job.model_id, job.dataset_id, TrainingType.LORA, choices)
    return (await lifecycle.validate(viewer, request, settings=service.settings)).forecast


async def present(rate: float | None, device: str = "cpu") -> None:
    changes = {"operations_per_second": rate, "device": device}
    machine = MACHINE.model_copy(update=changes)
    await say_present(HERE, devices=1, devices_in_use=0, slots=1, machine=machine)


async def test_time_is_told_from_an_earlier_run_before_the_machines_rate(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    unknown = await forecast_of(viewer, service, job)
    assert unknown.time is None
    assert unknown.time_unknown == "No worker is there that says what it has."
    await present(None)
    unmeasured = await forecast_of(viewer, service, job)
    assert unmeasured.time is None
    assert unmeasured.time_unknown == (
        "The worker has not measured yet how fast its machine computes."
    )
    await present(1e11)
    by_rate = (await forecast_of(viewer, service, job)).time
    assert by_rate is not None
    assert (by_rate.method, by_rate.factor) == (TimeMethod.MACHINE_RATE, 2.0)
    done = await completed(viewer, service)
    told = await forecast_of(viewer, service, done)
    assert told.time_unknown is None
    assert told.time is not None
    assert told.time.method is TimeMethod.EARLIER_RUN
    assert told.time.preparing == pytest.approx(5.0, abs=0.1)
    assert told.time.training == pytest.approx(30.0)
    longer = (await forecast_of(viewer, service, done, epochs=6)).time
    assert longer is not None
    assert longer.training == pytest.approx(2 * told.time.training, rel=0.02)


async def test_a_card_is_told_no_time_before_the_first_run(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    await present(None, "cuda")
    told = await forecast_of(viewer, service, job)
    assert told.time is None
    assert told.time_unknown == (
        "It is told once a run of this model by this method has completed on that machine."
    )


async def test_what_cannot_run_has_no_time(service: Service) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, service)
    await present(1e11)
    told = await forecast_of(viewer, service, job, batch_size=0)
    assert (told.time, told.time_unknown) == (None, None)
