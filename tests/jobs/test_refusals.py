"""That a submission refuses exactly what a validation refuses, with the same words."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.access import Viewer
from jobs.errors import InvalidInput
from jobs.fleet.workers import say_present
from jobs.models import TrainingJob
from jobs.runs import lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from tests.factories import QA, make_dataset, make_model
from tests.jobs.stage import make_viewer
from tests.training.advice.configs import choices, machines, methods
from training.config import TrainingConfig, TrainingType, resolve
from training.devices.machine import Machine
from training.findings import Severity


async def _request(viewer: Viewer, service: Service, records: int) -> RunRequest:
    model = await make_model(viewer)
    dataset = await make_dataset(viewer, service, records=(QA * 10)[:records])
    return RunRequest(model.id, dataset.id, TrainingType.LORA, {})


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=methods,
    chosen=choices,
    machine=machines,
    records=st.sampled_from([1, 20, 200]),
)
async def test_a_submission_refuses_what_a_validation_refuses_in_the_same_words(
    service: Service,
    method: TrainingType,
    chosen: dict[str, object],
    machine: Machine | None,
    records: int,
) -> None:
    viewer = await make_viewer()
    asked = await _request(viewer, service, records)
    request = RunRequest(asked.model_id, asked.dataset_id, method, chosen)
    await say_present("host-1-cafe", devices=2, devices_in_use=0, slots=1, machine=machine)
    before = await TrainingJob.all().count()
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    assert await TrainingJob.all().count() == before
    submitted = lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
    if validation.valid:
        job = await submitted
        assert TrainingConfig.model_validate(job.config) == validation.config
    else:
        with pytest.raises(InvalidInput) as caught:
            await submitted
        assert caught.value.findings == validation.findings
    assert await TrainingJob.all().count() == before + validation.valid


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("default_epochs", 0, ("hyperparameters", "epochs")),
        ("default_learning_rate", -1.0, ("hyperparameters", "learningRate")),
        ("default_batch_size", 0, ("hyperparameters", "batchSize")),
        ("default_validation_split", 2.0, ("data", "validationSplit")),
    ],
)
async def test_the_operators_defaults_are_judged_like_what_is_sent(
    service: Service, name: str, value: float, place: tuple[str, ...]
) -> None:
    viewer = await make_viewer()
    request = await _request(viewer, service, 20)
    switched = service.settings.model_copy(update={name: value})
    validation = await lifecycle.validate(viewer, request, settings=switched)
    errors = [each for each in validation.findings if each.severity is Severity.ERROR]
    assert [(each.code, each.path) for each in errors] == [("OUT_OF_RANGE", place)]
    with pytest.raises(InvalidInput) as caught:
        await lifecycle.submit(viewer, request, settings=switched, queue=service.queue)
    assert caught.value.findings == validation.findings
    field = name.removeprefix("default_")
    usual = resolve(TrainingType.LORA, {}).model_dump()[field]
    mended = replace(request, choices={field: usual})
    assert (await lifecycle.validate(viewer, mended, settings=switched)).valid
