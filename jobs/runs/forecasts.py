"""What a run will take of the machine that may train it, told before it is started."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from jobs.data import held_out
from jobs.fleet.workers import Place
from jobs.models import Dataset
from training.config import TrainingConfig
from training.data.records import Statistics
from training.devices.machine import Machine
from training.estimates import MemoryEstimate
from training.memory.advice import Estimator
from training.memory.closed_form import closed_form
from training.models.facts import ModelFacts
from training.preview.questions import CountedRows
from training.steps.expected import (
    ExpectedRows,
    Stored,
    expected_rows,
    tested_rows,
    token_lengths,
    training_rows,
)
from training.steps.schedule import total_steps
from training.timing.estimate import EarlierRun, TimeEstimate, by_earlier, by_rate
from training.validation import RunFacts

__all__ = ["NOTHING_FORESEEN", "Forecast", "Surroundings"]


@dataclass(frozen=True)
class Forecast:
    """A run's size, as far as it is known before it has begun."""

    training_records: int | None = None
    validation_records: int | None = None
    steps: int | None = None
    tokens_trained: int | None = None
    memory: MemoryEstimate | None = None
    memory_unknown: str | None = None
    """Why there is no estimate of memory."""
    time: TimeEstimate | None = None
    time_unknown: str | None = None
    """Why there is no estimate of time."""

    def counted(self, rows: CountedRows | None) -> "Forecast":
        """The forecast with what is known of rows that were counted, if they were."""
        if rows is None or rows.sides is None:
            return self
        return replace(
            self,
            training_records=rows.sides.training_records,
            validation_records=rows.sides.validation_records,
            steps=rows.sides.steps,
            tokens_trained=rows.sides.trained_tokens,
        )


NOTHING_FORESEEN: Final = Forecast()
"""Of what cannot run."""


@dataclass(frozen=True)
class Surroundings:
    """What a run is asked for with: its model, its data, and where it may be trained."""

    facts: ModelFacts | None
    dataset: Dataset
    place: Place | None
    held_out: Dataset | None = None
    """A dataset to test with, where one is named."""

    def run_facts(self, held: Collection[str] = ()) -> RunFacts:
        """What the checks of a config look at; `held` are options that are not to be chosen."""
        stored, facts = self._stored, self.facts
        counted = stored.statistics
        tokenizer = facts.tokenizer if facts else None
        lengths = token_lengths(stored, tokenizer) if tokenizer and counted.characters else None
        return RunFacts(
            records=self.dataset.record_count,
            data_type=stored.data_type,
            duplicates=counted.duplicates,
            row_tokens=lengths.typical if lengths else (),
            longest_row=lengths.longest if lengths else None,
            trained_share=lengths.trained_share if lengths else None,
            parameter_count=facts.parameter_count if facts else None,
            layer_count=facts.layer_count if facts else None,
            linear_parameters=facts.linear_parameters if facts else None,
            shape=facts.shape if facts else None,
            context_length=facts.context_length if facts else None,
            has_chat_template=facts.has_chat_template if facts else True,
            chat_templates=facts.chat_templates if facts else None,
            held_out=held_out.facts(self.held_out, self.dataset),
            device=self.place.machine.device if self.place else None,
            held=frozenset(held),
        )

    def memory_estimator(self) -> Estimator | None:
        """What tells the memory of any config; None where that cannot be told."""
        if self.facts is None or self.place is None:
            return None
        return partial(_memory, facts=self.facts, stored=self._stored, machine=self.place.machine)

    def forecast(self, config: TrainingConfig, earlier: EarlierRun | None) -> Forecast:
        """The forecast of a run whose config can run. `earlier` is one that was like it."""
        count = training_rows(self.dataset.record_count, config)
        rows = _rows(config, self.facts, self._stored)
        estimate = self.memory_estimator()
        unknown = _unknown(self.facts, self.place)
        memory = estimate(config) if estimate and unknown is None else None
        time = self._time(config, earlier)
        return Forecast(
            training_records=count,
            validation_records=self._tested(config),
            steps=total_steps(count, config) if count else None,
            tokens_trained=rows.trained_tokens(config) if rows else None,
            memory=memory,
            memory_unknown=None if memory else unknown or _NOT_TOLD,
            time=time,
            time_unknown=None if time else self._time_unknown(config),
        )

    @property
    def _stored(self) -> Stored:
        dataset = self.dataset
        counted = Statistics.model_validate(dataset.statistics)
        assert dataset.data_type is not None  # noqa: S101 - it is READY
        return Stored(dataset.data_type, dataset.size_bytes, counted)

    def _tested(self, config: TrainingConfig) -> int:
        others = self.held_out.record_count if self.held_out else None
        return tested_rows(self.dataset.record_count, config, held_out=others)

    def _time(self, config: TrainingConfig, earlier: EarlierRun | None) -> TimeEstimate | None:
        rows = _rows(config, self.facts, self._stored)
        if rows is None or self.facts is None or self.place is None:
            return None
        tested = self._tested(config)
        if earlier is not None:
            return by_earlier(
                self.facts, config, rows=rows, validation_rows=tested, earlier=earlier
            )
        machine = self.place.machine
        return by_rate(self.facts, config, rows=rows, validation_rows=tested, machine=machine)

    def _time_unknown(self, config: TrainingConfig) -> str:
        if self.facts is None:
            return "The model is not READY."
        if self.facts.tokenizer is None:
            return f"How the model's tokenizer cuts texts {_NOT_NOTED}"
        if self.place is None:
            return "No worker is there that says what it has."
        if self.place.machine.device == "cpu" and config.devices == 1:
            return "The worker has not measured yet how fast its machine computes."
        return "It is told once a run of this model by this method has completed on that machine."


_NOT_TOLD: Final = (
    "It cannot be told where a model is split among devices, nor for targetModules that the model "
    "does not have."
)

_NOT_NOTED: Final = (
    "is not known before a run, or was not noted yet when the model was registered; registered "
    "again it may be."
)


def _unknown(facts: ModelFacts | None, place: Place | None) -> str | None:
    """What is missing for an estimate of memory."""
    if facts is None:
        return "The model is not READY."
    if facts.shape is None:
        return f"What {facts.architecture} takes {_NOT_NOTED}"
    if facts.tokenizer is None:
        return f"How the model's tokenizer cuts texts {_NOT_NOTED}"
    if place is None:
        return "No worker is there that says what it has."
    return None


def _rows(config: TrainingConfig, facts: ModelFacts | None, stored: Stored) -> ExpectedRows | None:
    if facts is None or facts.tokenizer is None:
        return None
    return expected_rows(stored, facts.tokenizer, config)


def _memory(
    config: TrainingConfig, *, facts: ModelFacts, stored: Stored, machine: Machine
) -> MemoryEstimate | None:
    rows = _rows(config, facts, stored)
    return closed_form(facts, config, rows=rows, machine=machine) if rows else None
