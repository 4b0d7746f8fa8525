"""The seconds of a run's phases, from its operations and a pace that was measured."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from training.config import Frozen, Sharding, TrainingConfig, TrainingType
from training.devices.machine import Machine
from training.engine.bounds import SHAPES
from training.models.facts import ModelFacts
from training.progress.pace import WRITING_BYTES_PER_SECOND
from training.steps.expected import ExpectedRows, rows_per_step
from training.steps.schedule import steps_per_epoch
from training.timing.operations import operations

EFFICIENCY: Final = {
    TrainingType.LORA: 0.44,
    TrainingType.QLORA: 0.35,
    TrainingType.FULL: 0.39,
    TrainingType.FREEZE: 0.4,
}
"""Of the rate at which the machine multiplies large matrices, what a step reaches: measured on a CPU,
see docs/benchmarks.md and benchmarks/time_estimates.py."""
_UNWRITTEN: Final = 0.6
"""Of that, what a model reaches that is computed by its own layers."""
_COMPILED: Final = 1.5
"""How many times as much any other reaches on a processor with kernels of our own."""
_LAYER_SECONDS: Final = 0.0008
"""Of a step in each layer, however few its tokens."""
_STEP_SECONDS: Final = 0.004
_START_SECONDS: Final = 2.2
"""Until a process has loaded its libraries and looked at the data, the model and the way to compute it."""
_BITSANDBYTES_SECONDS: Final = 2.0
_LOADED_BYTES_PER_SECOND: Final = 400e6
_FIRST_TOKENS: Final = 40_000.0
"""What is tokenised in the first second, in which a tokenizer is read and hardly a word was seen before."""
_TOKENISED_PER_SECOND: Final = 400_000.0
"""From then on, by one process; two of them did three times that with chats."""
_CHECKED_SECONDS: Final = 0.1
_ANSWER_TOKENS: Final = 64
"""Of a sample prompt's answer, at most; each reads all weights once."""
_READ_BYTES_PER_SECOND: Final = 4e9


class TimeMethod(StrEnum):
    """What the pace of a run was told from."""

    EARLIER_RUN = "EARLIER_RUN"
    MACHINE_RATE = "MACHINE_RATE"


FACTORS: Final = {TimeMethod.EARLIER_RUN: 1.5, TimeMethod.MACHINE_RATE: 2.0}
"""Within which a run that is not disturbed ends, longer or shorter."""


class TimeEstimate(Frozen):
    """Seconds from the start of a run's process to its end, without an early stop."""

    preparing: float
    training: float
    """Validations and checkpoints of its epochs included."""
    validating: float
    method: TimeMethod

    @property
    def total(self) -> float:
        """Of all phases."""
        return self.preparing + self.training + self.validating

    @property
    def factor(self) -> float:
        """By which the run may take longer, or end sooner."""
        return FACTORS[self.method]


class EarlierRun(Frozen):
    """A run that completed in one attempt, on the machine that may train the next."""

    config: TrainingConfig
    training_records: int
    validation_records: int
    tokens: int
    """Of the training records."""
    trained_tokens: int
    """Those of them that bear loss."""
    steps: int
    """That it took."""
    same_rows: bool
    """Whether the next run's rows are those, or as long as those, since both are of one dataset."""
    preparing_seconds: float
    training_seconds: float
    validating_seconds: float


@dataclass(frozen=True)
class _Amount:
    """What a run has to do, whatever the pace."""

    operations: float
    """Of its training phase."""
    scoring: float
    """Operations of one validation."""
    preparing: float
    """Seconds of that phase, on a machine as quick as that of the constants."""
    fixed: float
    """Seconds of the training phase beside the operations."""
    closing: float
    """Seconds of the last phase beside its validation."""

    def training_seconds(self, pace: float) -> float:
        """Where an operation takes so long."""
        return self.fixed + self.operations * pace

    def validating_seconds(self, pace: float) -> float:
        """Where an operation takes so long."""
        return self.closing + self.scoring * pace


def by_rate(
    facts: ModelFacts,
    config: TrainingConfig,
    *,
    rows: ExpectedRows,
    validation_rows: int,
    machine: Machine,
) -> TimeEstimate | None:
    """The estimate from the rate at which the machine multiplies matrices.

    None where that was not measured, and for a model that is split among devices.
    """
    split = config.sharding is Sharding.FULL and config.devices > 1
    if machine.operations_per_second is None or split:
        return None
    amount = _amount(facts, config, rows, validation_rows)
    reached = EFFICIENCY[config.training_type] * _way(facts, config, machine)
    pace = 1 / (machine.operations_per_second * reached)
    return TimeEstimate(
        preparing=amount.preparing,
        training=amount.training_seconds(pace),
        validating=amount.validating_seconds(pace),
        method=TimeMethod.MACHINE_RATE,
    )


def by_earlier(
    facts: ModelFacts,
    config: TrainingConfig,
    *,
    rows: ExpectedRows,
    validation_rows: int,
    earlier: EarlierRun,
) -> TimeEstimate:
    """The estimate from the pace of an earlier run of the same model by the same method."""
    mean = earlier.tokens / earlier.training_records
    if earlier.same_rows:
        rows = replace(rows, mean=mean, trained_share=earlier.trained_tokens / earlier.tokens)
    then = _amount(
        facts,
        earlier.config,
        ExpectedRows(
            count=earlier.training_records,
            steps=earlier.steps,
            mean=mean,
            deviation=rows.deviation * mean / rows.mean,
            longest=rows.longest,
            trained_share=earlier.trained_tokens / earlier.tokens,
        ),
        earlier.validation_records,
    )
    now = _amount(facts, config, rows, validation_rows)
    computing = max(earlier.training_seconds - then.fixed, earlier.training_seconds / 10)
    pace = computing / then.operations
    closing = now.validating_seconds(pace) - then.validating_seconds(pace)
    return TimeEstimate(
        preparing=_moved(earlier.preparing_seconds, now.preparing - then.preparing),
        training=now.training_seconds(pace),
        validating=_moved(earlier.validating_seconds, closing),
        method=TimeMethod.EARLIER_RUN,
    )


def _moved(seconds: float, more: float) -> float:
    """What a phase took, and what the next one has to do more, or less: half of it stays."""
    return max(seconds / 2, seconds + more)


def _amount(
    facts: ModelFacts, config: TrainingConfig, rows: ExpectedRows, validation_rows: int
) -> _Amount:
    row = operations(facts, config, rows)
    per_epoch = steps_per_epoch(rows.count, config)
    epochs = math.ceil(rows.steps / per_epoch)
    trained = min(rows.steps * rows_per_step(config), rows.count * rows.steps / per_epoch)
    policy = config.checkpointing
    checkpoints = math.ceil(epochs / policy.interval) if policy.enabled else 1
    saving = _trained_bytes(facts, config) / WRITING_BYTES_PER_SECOND
    asked = len(config.sample_prompts) * _ANSWER_TOKENS
    answering = asked * facts.size_bytes / _READ_BYTES_PER_SECOND
    steps = rows.steps * (_STEP_SECONDS + _LAYER_SECONDS * (facts.layer_count or 1))
    tokens = (rows.count + validation_rows) * rows.mean
    first = min(tokens, _FIRST_TOKENS)
    tokenising = first / _FIRST_TOKENS + (tokens - first) / _TOKENISED_PER_SECOND
    loading = facts.size_bytes / _LOADED_BYTES_PER_SECOND
    starting = _START_SECONDS + (_BITSANDBYTES_SECONDS if config.needs_bitsandbytes else 0.0)
    return _Amount(
        operations=trained * row.training + epochs * validation_rows * row.scoring,
        scoring=validation_rows * row.scoring,
        preparing=starting + loading + tokenising + answering,
        fixed=steps + checkpoints * 3 * saving,
        closing=_CHECKED_SECONDS + saving + answering,
    )


def _trained_bytes(facts: ModelFacts, config: TrainingConfig) -> float:
    """Of the masters; a checkpoint holds two moments more for each."""
    if config.training_type is TrainingType.FULL:
        return 4.0 * facts.parameter_count
    if facts.shape is None or facts.layer_count is None:
        return 0.0
    if config.training_type is TrainingType.FREEZE:
        return 4.0 * min(config.trainable_layers, facts.layer_count) * facts.shape.layer_parameters
    sides = sum(each.inputs + each.outputs for each in facts.shape.linears)
    return 4.0 * config.lora_rank * sides * facts.layer_count


def _way(facts: ModelFacts, config: TrainingConfig, machine: Machine) -> float:
    """What the way in which the model is computed makes of the efficiency."""
    known = facts.shape is not None and facts.shape.model_type in SHAPES
    if not known or (config.adapts and config.dora):
        return _UNWRITTEN
    return _COMPILED if machine.compiles else 1.0
