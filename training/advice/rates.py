"""How fast a run learns: its learning rate, how that rises, and what pulls against it."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from training.advice.case import Case
from training.config import LEARNING_RATES, Scheduler, TrainingType
from training.findings import Finding, recommendation, warning


class _Range(NamedTuple):
    low: float
    high: float
    most: float
    """Above it the weights themselves are in danger."""


USUAL_RATES: Final = {
    TrainingType.LORA: _Range(1e-4, 5e-4, 1e-3),
    TrainingType.QLORA: _Range(1e-4, 5e-4, 1e-3),
    TrainingType.FULL: _Range(1e-5, 5e-5, 1e-4),
    TrainingType.FREEZE: _Range(1e-5, 2e-4, 5e-4),
}
SLOWEST_RATE: Final = 1e-5
"""Of any method; below it, and above the method's most, a rate is a warning."""
_LONGEST_WARMUP: Final = 0.5
_MOST_DECAY: Final = 0.1
"""Of a weight, over the whole run."""


def learning_rate(case: Case) -> Iterator[Finding]:
    """A rate that the method seldom takes well."""
    method, rate = case.config.training_type, case.config.learning_rate
    usual, better = USUAL_RATES[method], LEARNING_RATES[method]
    if rate < SLOWEST_RATE or rate > usual.most:
        yield warning(
            "UNUSUAL_VALUE",
            "learning_rate",
            message=f"learningRate is {rate}, outside its usual range {SLOWEST_RATE} to "
            f"{usual.most} with {method}.",
            remedy=f"Set learningRate to {better} unless you know why not.",
            changes={"learning_rate": better},
        )
    elif not usual.low <= rate <= usual.high:
        effect = "learn slowly" if rate < usual.low else "forget what it knew"
        yield recommendation(
            "UNUSUAL_RATE_FOR_METHOD",
            "learning_rate",
            message=f"learningRate is {rate}; {method} usually takes {usual.low} to {usual.high}, "
            f"and may {effect} with this.",
            remedy=f"Set learningRate to {better} and compare.",
            changes={"learning_rate": better},
        )


def long_warmup(case: Case) -> Iterator[Finding]:
    """A run that spends most of its steps below its rate."""
    warmup = case.config.warmup_steps
    if _LONGEST_WARMUP * case.steps < warmup < case.steps:
        yield warning(
            "WARMUP_LONG",
            "warmup_steps",
            message=f"warmupSteps is {warmup}, which is {warmup / case.steps:.0%} of the run's "
            f"{case.steps} steps.",
            remedy="Warm up for about a tenth of the steps.",
            changes={"warmup_steps": case.steps // 10},
        )


def strong_decay(case: Case) -> Iterator[Finding]:
    """Decay that takes away a part of what is there: of adapters, of what they learnt."""
    config = case.config
    mean = 1.0 if config.scheduler is Scheduler.CONSTANT else 0.5
    passed = config.learning_rate * mean * case.steps
    if passed * config.weight_decay <= _MOST_DECAY:
        return
    what = "adapters" if config.adapts else "trained weights"
    better = 0.01 if passed * 0.01 <= _MOST_DECAY else 0.0
    yield recommendation(
        "STRONG_WEIGHT_DECAY",
        "weight_decay",
        message=f"weightDecay is {config.weight_decay}, which over {case.steps} steps takes "
        f"{min(1.0, passed * config.weight_decay):.0%} off the {what}, beside what they learn.",
        remedy=f"Set weightDecay to {better}.",
        changes={"weight_decay": better},
    )
