"""How many steps a run has, and the learning rate at each: pure functions, so that a resumed run
computes what the interrupted one would have."""

import math

from training.config import Scheduler, TrainingConfig


def validation_rows(records: int, split: float) -> int:
    """How many of `records` are held out: at least one where any are asked for and two exist."""
    if split <= 0 or records < 2:
        return 0
    return min(max(1, round(records * split)), records - 1)


def rows_per_step(config: TrainingConfig) -> int:
    """Rows that an optimizer step sees; the last of an epoch may see fewer."""
    return config.batch_size * config.gradient_accumulation_steps


def steps_per_epoch(training_rows: int, config: TrainingConfig) -> int:
    """Optimizer steps over all rows once."""
    return math.ceil(training_rows / rows_per_step(config))


def total_steps(training_rows: int, config: TrainingConfig) -> int:
    """Optimizer steps of the whole run, `max_steps` honoured."""
    steps = steps_per_epoch(training_rows, config) * config.epochs
    return steps if config.max_steps is None else min(steps, config.max_steps)


def learning_rate(step: int, *, config: TrainingConfig, steps: int) -> float:
    """The rate that optimizer step `step` (from 0) of `steps` takes.

    It rises linearly over the warm-up and reaches the configured rate on the step after it; COSINE
    and LINEAR then fall towards zero, which would be reached one step after the last.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    match config.scheduler:
        case Scheduler.COSINE:
            return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case Scheduler.LINEAR:
            return config.learning_rate * (1 - done)
        case Scheduler.CONSTANT:
            return config.learning_rate
