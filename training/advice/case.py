"""What the rules look at: a config whose every value can be had, and what is known around it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from training.config import DataType, Frozen, TrainingConfig
from training.findings import apply, patch_for
from training.held_out import HeldOut
from training.memory.advice import Estimator, suffices
from training.methods.targets import adapted_layers
from training.models.facts import ModelShape
from training.steps.schedule import (
    rows_per_step,
    steps_per_epoch,
    total_steps,
    validation_rows,
)
from training.templates.named import NamedTemplate


class RunFacts(Frozen):
    """What the checks must know of the data, the model and the machine. Counts are of validated
    records, lengths in tokens; what is not known says nothing."""

    records: int
    data_type: DataType
    duplicates: int = 0
    """Records equal to an earlier one."""
    row_tokens: tuple[float, ...] = ()
    """About how long rows are, shortest first, each for an equal share of them; not cut."""
    longest_row: float | None = None
    trained_share: float | None = None
    """Of tokens, those that bear loss."""
    parameter_count: int | None = None
    layer_count: int | None = None
    """Decoder layers."""
    linear_parameters: int | None = None
    """Those parameters that 4 bits make smaller."""
    shape: ModelShape | None = None
    context_length: int | None = None
    """The longest input the model takes, in tokens."""
    has_chat_template: bool = True
    chat_templates: tuple[NamedTemplate, ...] | None = None
    """The named templates whose end of a turn is one token of the model; None if not noted."""
    held_out: HeldOut | None = None
    """A dataset to test with, where one is named."""
    device: str | None = None
    """Of the machine that may train it, a torch device."""
    held: frozenset[str] = frozenset()
    """Options that are not to be chosen, since the weights it starts from decide them."""


@dataclass(frozen=True)
class Case:
    """A run to be judged."""

    config: TrainingConfig
    facts: RunFacts
    estimate: Estimator | None = None

    @cached_property
    def samples(self) -> int:
        """Records taken from the dataset."""
        return min(self.facts.records, self.config.max_samples or self.facts.records)

    @cached_property
    def held_out(self) -> int:
        """Records kept for validation."""
        if self.facts.held_out is not None:
            return self.facts.held_out.records
        return validation_rows(self.samples, self.config.validation_split)

    @cached_property
    def rows(self) -> int:
        """Records trained on."""
        return self.samples - validation_rows(self.samples, self.config.validation_split)

    @property
    def examples(self) -> int:
        """Of a step, as asked for."""
        return rows_per_step(self.config)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; 0 without records."""
        return steps_per_epoch(self.rows, self.config)

    @cached_property
    def steps(self) -> int:
        """Optimizer steps of the run; 0 without records."""
        return total_steps(self.rows, self.config)

    @cached_property
    def epochs(self) -> int:
        """Epochs that are begun, which `max_steps` may make fewer."""
        return math.ceil(self.steps / self.steps_per_epoch) if self.steps_per_epoch else 0

    @cached_property
    def narrowest(self) -> int | None:
        """The smaller side of the narrowest matrix that gets an adapter; None where not known."""
        shape, layers = self.facts.shape, self.facts.layer_count
        if shape is None or layers is None:
            return None
        targets = self.config.target_modules
        sides = [
            min(each.inputs, each.outputs)
            for each in shape.linears
            if adapted_layers(each.name, targets, layers)
        ]
        return min(sides, default=None)

    def changed(self, changes: Mapping[str, object]) -> "Case":
        """The same with options changed."""
        return Case(apply(self.config, patch_for(changes)), self.facts, self.estimate)

    def has_memory(self, changes: Mapping[str, object]) -> bool | None:
        """Whether it would easily find its memory, were options changed; None where not known."""
        memory = self.estimate(self.changed(changes).config) if self.estimate else None
        return None if memory is None else suffices(memory)
