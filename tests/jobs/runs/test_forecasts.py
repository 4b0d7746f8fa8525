"""What is told of a run's size before it is started."""

import pytest

from jobs.fleet.workers import roomiest, say_present
from jobs.models import BaseModel, Dataset, Worker
from jobs.runs import lifecycle
from jobs.runs.lifecycle import RunRequest, Validation
from jobs.service import Service
from tests.factories import FACTS, make_dataset, make_model
from tests.jobs.stage import make_viewer
from training.config import TrainingType
from training.devices.machine import Machine
from training.estimates import EstimateMethod

MACHINE = Machine(device="cpu", bfloat16=True, threads=2, available_bytes=8_000_000_000)


async def validated(
    service: Service, facts: dict[str, object] | None = None, **choices: object
) -> Validation:
    viewer = await make_viewer()
    model, dataset = await make_model(viewer), await make_dataset(viewer, service)
    if facts is not None:
        await BaseModel.filter(id=model.id).update(facts=facts)
    request = RunRequest(model.id, dataset.id, TrainingType.FULL, choices)
    return await lifecycle.validate(viewer, request, settings=service.settings)


async def present(name: str, available_bytes: int, devices: int = 1) -> None:
    machine = MACHINE.model_copy(update={"available_bytes": available_bytes})
    await say_present(name, devices=devices, devices_in_use=0, slots=1, machine=machine)


async def test_a_run_is_told_its_memory_by_the_worker_with_most(service: Service) -> None:
    await present("small", 4_000_000_000)
    await present("large", 8_000_000_000)
    await say_present("unknown", devices=1, devices_in_use=0, slots=1)
    forecast = (await validated(service, epochs=3)).forecast
    memory = forecast.memory
    assert memory is not None
    assert memory.method is EstimateMethod.CLOSED_FORM
    assert memory.available == 8_000_000_000
    assert memory.weights == 6 * FACTS.parameter_count
    assert memory.fits
    assert (forecast.steps, forecast.memory_unknown) == (9, None)
    assert (forecast.training_records, forecast.validation_records) == (18, 2)
    assert forecast.tokens_trained is not None
    assert 54 < forecast.tokens_trained < 54 * 25


async def test_only_workers_with_the_devices_count_where_there_are_any(service: Service) -> None:
    del service
    await present("one device", 8_000_000_000)
    await present("two devices", 4_000_000_000, devices=2)
    found = [await roomiest(devices, 30.0) for devices in (1, 2, 3)]
    assert [each.machine.available_bytes for each in found if each] == [
        8_000_000_000,
        4_000_000_000,
        8_000_000_000,
    ]


async def test_a_run_for_which_memory_will_not_do_is_warned_of_and_not_refused(
    service: Service,
) -> None:
    await present("tiny", 300_000_000)
    validation = await validated(service)
    memory = validation.forecast.memory
    assert memory is not None
    assert not memory.fits
    assert validation.valid
    (warning,) = [each for each in validation.findings if each.code == "MEMORY_MAY_NOT_SUFFICE"]
    assert memory.described() in warning.message
    assert warning.suggested_patch is None  # the libraries alone take more


async def test_without_a_worker_only_memory_is_unknown(service: Service) -> None:
    forecast = (await validated(service)).forecast
    assert forecast.memory is None
    assert forecast.memory_unknown == "No worker is there that says what it has."
    assert forecast.steps == 9
    assert forecast.tokens_trained is not None


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("shape", "What LlamaForCausalLM takes is not known before a run, "),
        ("tokenizer", "How the model's tokenizer cuts texts is not known before a run, "),
    ],
)
async def test_a_model_inspected_before_this_was_noted_is_told_nothing(
    service: Service, missing: str, said: str
) -> None:
    await present("large", 8_000_000_000)
    older = FACTS.model_dump(mode="json", exclude={missing})
    forecast = (await validated(service, older)).forecast
    assert (forecast.memory, forecast.steps) == (None, 9)
    assert forecast.memory_unknown is not None
    assert forecast.memory_unknown.startswith(said)
    assert (forecast.tokens_trained is None) is (missing == "tokenizer")


async def test_a_split_model_is_told_no_memory(service: Service) -> None:
    await present("large", 8_000_000_000, devices=2)
    forecast = (await validated(service, devices=2, sharding="FULL")).forecast
    assert forecast.memory is None
    assert forecast.memory_unknown is not None
    assert "split among devices" in forecast.memory_unknown


async def test_what_cannot_run_has_no_size(service: Service) -> None:
    await present("large", 8_000_000_000)
    validation = await validated(service, batch_size=0)
    assert not validation.valid
    assert validation.forecast.steps is None
    assert validation.forecast.memory is None
    assert validation.forecast.memory_unknown is None


async def test_statistics_of_before_are_read(service: Service) -> None:
    viewer = await make_viewer()
    model, dataset = await make_model(viewer), await make_dataset(viewer, service)
    older = {k: v for k, v in dataset.statistics.items() if k != "trained_characters"}
    await Dataset.filter(id=dataset.id).update(statistics=older)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, {})
    validation = await lifecycle.validate(viewer, request, settings=service.settings)
    assert (validation.forecast.steps, validation.forecast.tokens_trained) == (9, None)


async def test_a_worker_that_says_nothing_of_its_machine_is_there_all_the_same(
    service: Service,
) -> None:
    del service
    await say_present("old", devices=1, devices_in_use=0, slots=1)
    assert (await Worker.get(name="old")).machine is None
    assert await roomiest(1, 30.0) is None
