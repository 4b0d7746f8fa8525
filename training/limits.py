"""The values each single option can have, and those it usually has."""

import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from training.config import LEARNING_RATES, TrainingConfig, TrainingType
from training.findings import PATHS, Finding, Severity, patch_for

LONGEST_SEQUENCE: Final = 2**20
MOST_LAYERS: Final = 1000
_RANK: Final = 16


def beyond_limits(
    config: TrainingConfig, *, context_length: int | None, layer_count: int | None
) -> Iterator[Finding]:
    """An error for each value that no run can have, whatever the other options are."""
    for limit in (*_LIMITS, *_limits_of(config.training_type, context_length, layer_count)):
        value = attrgetter(limit.field)(config)
        if value is None or limit.allows(value) or _follows_rank(limit.field, config):
            continue
        changes = {limit.field: limit.instead}
        if limit.field == "lora_rank" and _follows_rank("lora_alpha", config):
            changes["lora_alpha"] = 2 * _RANK
        name = PATHS[limit.field][-1]
        yield Finding(
            severity=Severity.ERROR,
            code="OUT_OF_RANGE",
            path=PATHS[limit.field],
            message=f"{name} is {_shown(value)}, but must be {limit.must}.",
            remedy=f"Set {name} to a value that is {limit.must}, such as {_shown(limit.instead)}.",
            suggested_patch=patch_for(changes),
        )


def beyond_usual(
    config: TrainingConfig, *, training_rows: int, narrowest: int | None
) -> Iterator[Finding]:
    """A warning for each value that can run and seldom should, but for the learning rate, which
    depends on the method. `narrowest` is the width of the narrowest adapted layer."""
    for usual in _usual_ranges(config, training_rows, narrowest):
        value = attrgetter(usual.field)(config)
        if usual.low <= value <= usual.high:
            continue
        better = max(usual.low, min(usual.high, value))
        changes = {usual.field: better}
        if usual.field == "lora_rank":
            changes = with_rank(int(better), config)
        name = PATHS[usual.field][-1]
        yield Finding(
            severity=Severity.WARNING,
            code="UNUSUAL_VALUE",
            path=PATHS[usual.field],
            message=f"{name} is {value}, outside its usual range {usual.low} to {usual.high}.",
            remedy=f"Set {name} to {better} unless you know why not.",
            suggested_patch=patch_for(changes),
        )


def with_rank(rank: int, config: TrainingConfig) -> dict[str, float]:
    """The changes that give adapters another rank, alpha going along where it is twice the rank."""
    if config.rs_lora or not _follows_rank("lora_alpha", config):
        return {"lora_rank": rank}
    return {"lora_rank": rank, "lora_alpha": 2 * rank}


def _follows_rank(field: str, config: TrainingConfig) -> bool:
    """Whether an option is alpha at twice the rank, and so is the rank's fault if it is wrong."""
    return field == "lora_alpha" and config.lora_alpha == 2 * config.lora_rank


class _Limit(NamedTuple):
    field: str
    allows: Callable[[float], bool]
    must: str
    instead: object


class _Usual(NamedTuple):
    field: str
    low: float
    high: float


def _within(low: float, high: float) -> Callable[[float], bool]:
    return lambda value: low <= value <= high  # NaN is within nothing


_LIMITS: Final = (
    _Limit("batch_size", _within(1, 4096), "1 to 4096", 8),
    _Limit("epochs", _within(1, 1000), "1 to 1000", 3),
    _Limit("warmup_steps", lambda value: value >= 0, "0 or more", 0),
    _Limit("max_steps", lambda value: value >= 1, "1 or more", None),
    _Limit("weight_decay", _within(0, 1), "0 to 1", 0.01),
    _Limit("gradient_accumulation_steps", _within(1, 1024), "1 to 1024", 1),
    _Limit("max_gradient_norm", lambda value: 0 < value < math.inf, "above 0 and finite", 1.0),
    _Limit("lora_rank", _within(1, 1024), "1 to 1024", _RANK),
    _Limit("lora_alpha", _within(1, 4096), "1 to 4096", 2 * _RANK),
    _Limit("lora_dropout", lambda value: 0 <= value < 1, "at least 0 and below 1", 0.05),
    _Limit("validation_split", _within(0, 0.9), "0 to 0.9", 0.1),
    _Limit("devices", _within(1, 1024), "1 to 1024", 1),
    _Limit("max_samples", lambda value: value >= 1, "1 or more", None),
    _Limit("seed", _within(0, 2**32 - 1), f"0 to {2**32 - 1}", 42),
    _Limit("early_stopping.patience", lambda value: value >= 1, "1 or more", 3),
    _Limit(
        "early_stopping.min_delta",
        lambda value: 0 <= value < math.inf,
        "at least 0 and finite",
        0.001,
    ),
    _Limit("checkpointing.interval", lambda value: value >= 1, "1 or more", 1),
    _Limit("checkpointing.keep_best", lambda value: value >= 1, "1 or more", 3),
)


def _limits_of(
    method: TrainingType, context_length: int | None, layer_count: int | None
) -> tuple[_Limit, ...]:
    """The limits that the method or the model decides."""
    longest = max(8, context_length or LONGEST_SEQUENCE)
    reason = "the model's context length" if context_length else "the longest sequence supported"
    return (
        _Limit(
            "learning_rate",
            lambda value: 0 < value <= 1,
            "above 0 and at most 1",
            LEARNING_RATES[method],
        ),
        _Limit(
            "max_sequence_length",
            _within(8, longest),
            f"8 to {longest}, {reason}",
            min(1024, longest),
        ),
        _trainable_layers(layer_count if method is TrainingType.FREEZE else None),
    )


def _trainable_layers(layer_count: int | None) -> _Limit:
    most = layer_count or MOST_LAYERS
    reason = "the model's decoder layers" if layer_count else "the most supported"
    return _Limit("trainable_layers", _within(0, most), f"0 to {most}, {reason}", min(2, most))


def _usual_ranges(
    config: TrainingConfig, training_rows: int, narrowest: int | None
) -> Iterator[_Usual]:
    yield _Usual("batch_size", min(4, max(1, training_rows)), 32)
    yield _Usual("epochs", 3, 50)
    yield _Usual("weight_decay", 0, 0.1)
    yield _Usual("gradient_accumulation_steps", 1, 64)
    if config.adapts:
        lowest = 8 if narrowest is None else min(8, narrowest)
        yield _Usual("lora_rank", lowest, 64)
        yield _Usual("lora_dropout", 0.0, 0.3)


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)
