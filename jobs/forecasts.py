"""What a run will take of the machine that may train it, told before it is started."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from jobs.models import Dataset
from training.config import TrainingConfig
from training.data.records import Statistics
from training.devices.machine import Machine
from training.estimates import MemoryEstimate
from training.findings import Finding
from training.memory.advice import memory_finding
from training.memory.closed_form import closed_form
from training.models.facts import ModelFacts
from training.steps.expected import Stored, expected_rows, tested_rows, training_rows
from training.steps.schedule import total_steps

__all__ = ["NOTHING_FORESEEN", "Forecast", "forecast"]


@dataclass(frozen=True)
class Forecast:
    """A run's size, as far as it is known before its data is tokenised."""

    training_records: int | None = None
    validation_records: int | None = None
    steps: int | None = None
    tokens_trained: int | None = None
    memory: MemoryEstimate | None = None
    memory_unknown: str | None = None
    """Why there is no estimate of memory."""
    finding: Finding | None = None
    """What there is to say where the memory will hardly do."""


NOTHING_FORESEEN: Final = Forecast()
"""Of what cannot run."""


def forecast(
    config: TrainingConfig,
    facts: ModelFacts | None,
    *,
    dataset: Dataset,
    held_out: Dataset | None,
    machine: Machine | None,
) -> Forecast:
    """The forecast of a run whose config can run; `held_out` is a dataset to test with."""
    stored = Stored(
        dataset.data_type, dataset.size_bytes, Statistics.model_validate(dataset.statistics)
    )
    rows = expected_rows(stored, facts.tokenizer, config) if facts and facts.tokenizer else None
    count = training_rows(dataset.record_count, config)
    steps = total_steps(count, config) if count else None
    tokens = rows.trained_tokens(config) if rows else None
    known = Forecast(
        training_records=count,
        validation_records=tested_rows(
            dataset.record_count, config, held_out=held_out.record_count if held_out else None
        ),
        steps=steps,
        tokens_trained=tokens,
    )
    reason = _unknown(facts, machine)
    if facts is None or machine is None or reason is not None:
        return replace(known, memory_unknown=reason)
    estimate = partial(_estimate, facts=facts, stored=stored, machine=machine)
    memory = estimate(config)
    if memory is None:
        return replace(known, memory_unknown=_NOT_TOLD)
    return replace(known, memory=memory, finding=memory_finding(config, estimate))


_NOT_TOLD: Final = (
    "It cannot be told where a model is split among devices, nor for targetModules that the model "
    "does not have."
)

_NOT_NOTED: Final = (
    "is not known before a run, or was not noted yet when the model was registered; registered "
    "again it may be."
)


def _unknown(facts: ModelFacts | None, machine: Machine | None) -> str | None:
    """What is missing for an estimate of memory."""
    if facts is None:
        return "The model is not READY."
    if facts.shape is None:
        return f"What {facts.architecture} takes {_NOT_NOTED}"
    if facts.tokenizer is None:
        return f"How the model's tokenizer cuts texts {_NOT_NOTED}"
    if machine is None:
        return "No worker is there that says what it has."
    return None


def _estimate(
    config: TrainingConfig, *, facts: ModelFacts, stored: Stored, machine: Machine
) -> MemoryEstimate | None:
    rows = expected_rows(stored, facts.tokenizer, config) if facts.tokenizer else None
    return closed_form(facts, config, rows=rows, machine=machine) if rows else None
