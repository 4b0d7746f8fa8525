"""What is said of runs for which memory is scarce."""

from typing import Any

import pytest

from tests.factories import FACTS
from training.config import TrainingConfig, TrainingType, resolve
from training.devices.machine import Machine
from training.estimates import MemoryEstimate
from training.findings import Severity, apply
from training.memory.advice import MAY_NOT_SUFFICE, Estimator, memory_finding
from training.memory.closed_form import closed_form
from training.models.facts import ModelFacts
from training.steps.expected import ExpectedRows

BILLIONS = FACTS.model_copy(
    update={"parameter_count": 4_000_000_000, "linear_parameters": 3_600_000_000}
)
GIGABYTE = 10**9


def estimator(facts: ModelFacts, available: int) -> Estimator:
    machine = Machine(device="cuda", bfloat16=True, threads=8, available_bytes=available)

    def estimate(config: TrainingConfig) -> MemoryEstimate | None:
        longest = min(1000, config.max_sequence_length)
        rows = ExpectedRows(
            count=100, steps=39, mean=longest, deviation=0, longest=longest, trained_share=0.5
        )
        return closed_form(facts, config, rows=rows, machine=machine)

    return estimate


def test_nothing_is_said_where_there_is_room() -> None:
    assert (
        memory_finding(resolve(TrainingType.LORA, {}), estimator(BILLIONS, 80 * GIGABYTE)) is None
    )


def test_nothing_is_said_where_nothing_is_known() -> None:
    unknown = FACTS.model_copy(update={"shape": None})
    assert memory_finding(resolve(TrainingType.FULL, {}), estimator(unknown, 1)) is None


@pytest.mark.parametrize(
    ("method", "available", "patch"),
    [
        (
            TrainingType.FULL,
            40,
            {"trainingType": "LORA", "hyperparameters": {"learningRate": 2e-4}},
        ),
        (
            TrainingType.FULL,
            4,
            {"trainingType": "QLORA", "hyperparameters": {"learningRate": 2e-4}},
        ),
        (TrainingType.LORA, 4, {"trainingType": "QLORA"}),
        (TrainingType.QLORA, 2, None),
        (TrainingType.FULL, 1, None),
    ],
)
def test_a_cheaper_method_is_suggested_where_it_fits(
    method: TrainingType, available: int, patch: dict[str, Any] | None
) -> None:
    config, estimate = resolve(method, {}), estimator(BILLIONS, available * GIGABYTE)
    finding = memory_finding(config, estimate)
    assert finding is not None
    assert (finding.severity, finding.code) == (Severity.WARNING, MAY_NOT_SUFFICE)
    assert finding.path == ("trainingType",)
    assert finding.suggested_patch == patch
    memory = estimate(config)
    assert memory is not None
    assert f"{memory.peak / memory.available:.0%}" in finding.message
    assert f"with {available}.00 GB available" in finding.message
    if patch is not None:
        cured = apply(config, patch)
        assert memory_finding(cured, estimate) is None


def test_shorter_rows_are_suggested_where_they_take_most() -> None:
    config = resolve(TrainingType.LORA, {"batch_size": 1})
    whole = estimator(FACTS, GIGABYTE)(config)
    assert whole is not None
    finding = memory_finding(config, estimator(FACTS, whole.peak))
    assert finding is not None
    assert finding.path == ("hyperparameters", "maxSequenceLength")
    assert finding.suggested_patch == {"hyperparameters": {"maxSequenceLength": 512}}


def test_a_run_that_barely_fits_is_warned_of_too() -> None:
    config = resolve(TrainingType.LORA, {})
    whole = estimator(BILLIONS, 80 * GIGABYTE)(config)
    assert whole is not None
    found = [
        memory_finding(config, estimator(BILLIONS, round(whole.peak / share)))
        for share in (0.89, 0.91)
    ]
    assert found[0] is None
    assert found[1] is not None
