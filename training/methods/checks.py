"""What can be said of a training method, its options and a model's shape before a run starts."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from training.config import (
    ADAPTER_METHODS,
    LEARNING_RATES,
    RS_LORA_ALPHA,
    TrainingConfig,
    TrainingType,
)
from training.findings import PATHS, Finding, Severity, error, patch_for, recommendation

FULL_TRAINING_PARAMETERS: Final = 1_000_000_000
"""Above this size an adapter is recommended: FULL needs some 16 bytes for each parameter."""
WORTHWHILE_SAVING: Final = 1 / 3
"""Of a base's memory; where 4 bits save less, they only cost time and exactness."""
_RS_LORA_ALPHAS: Final = range(4, 17)
_BYTES: Final = 2
_BYTES_IN_NF4: Final = 0.516
"""4 bits, 8 more for the scale of each 64 weights, and 32 for each 256 scales."""


def method_errors(config: TrainingConfig, layer_count: int | None) -> Iterator[Finding]:
    """Choices that leave the method nothing to train."""
    freeze = config.training_type is TrainingType.FREEZE
    if freeze and config.trainable_layers == 0 and not config.train_embeddings:
        yield error(
            "NOTHING_TRAINABLE",
            "FREEZE is to train no layer and no embeddings, and so nothing.",
            remedy="Train some of the last layers.",
            changes={"trainable_layers": min(2, layer_count or 2)},
        )


def method_advice(
    config: TrainingConfig, *, parameters: int | None, linear_parameters: int | None
) -> Iterator[Finding]:
    """Options without effect, and what would do better, by what is known of the model."""
    yield from _without_effect(config)
    yield from _alpha(config)
    yield from _cheaper_method(config, parameters or 0, linear_parameters)


class _Owned(NamedTuple):
    """An option that only some methods read."""

    field: str
    methods: tuple[TrainingType, ...]


_OWNED: Final = (
    _Owned("target_modules", ADAPTER_METHODS),
    _Owned("rs_lora", ADAPTER_METHODS),
    _Owned("dora", ADAPTER_METHODS),
    _Owned("lora_initialisation", ADAPTER_METHODS),
    _Owned("trainable_layers", (TrainingType.FREEZE,)),
    _Owned("train_embeddings", (TrainingType.FREEZE,)),
)


def _without_effect(config: TrainingConfig) -> Iterator[Finding]:
    for field, methods in _OWNED:
        default = TrainingConfig.model_fields[field].default
        if config.training_type in methods or getattr(config, field) == default:
            continue
        name = PATHS[field][-1]
        yield Finding(
            severity=Severity.WARNING,
            code="OPTION_WITHOUT_EFFECT",
            path=PATHS[field],
            message=f"{name} says nothing to {config.training_type}; it is read by "
            f"{' and '.join(methods)} alone.",
            remedy=f"Leave {name} out, or use another training type.",
            suggested_patch=patch_for({field: default}),
        )


def quantisation_saves_little(parameters: int | None, linear_parameters: int | None) -> bool:
    """Whether 4 bits make so little of the base smaller that they are not worth it, as of a small
    model, whose embeddings are most of it."""
    if not parameters or linear_parameters is None:
        return False
    return _saved(linear_parameters) < WORTHWHILE_SAVING * parameters * _BYTES


def _saved(linear_parameters: int) -> float:
    return linear_parameters * (_BYTES - _BYTES_IN_NF4)


def _alpha(config: TrainingConfig) -> Iterator[Finding]:
    alpha = 2 * config.lora_rank
    if config.adapts and config.rs_lora and config.lora_alpha not in _RS_LORA_ALPHAS:
        yield recommendation(
            "ALPHA_UNUSUAL_WITH_RS_LORA",
            "lora_alpha",
            message=f"loraAlpha is {config.lora_alpha}, which rsLora divides by the root of loraRank "
            f"alone: adapters then weigh {config.lora_alpha / config.lora_rank**0.5:.1f}, where 1 to "
            "4 is usual.",
            remedy=f"Set loraAlpha to {RS_LORA_ALPHA}, at any rank.",
            changes={"lora_alpha": RS_LORA_ALPHA},
        )
    if config.adapts and not config.rs_lora and config.lora_alpha != alpha:
        yield Finding(
            severity=Severity.RECOMMENDATION,
            code="ALPHA_NOT_TWICE_RANK",
            path=PATHS["lora_alpha"],
            message=f"loraAlpha is {config.lora_alpha}; twice loraRank would be {alpha}.",
            remedy=f"Set loraAlpha to {alpha}.",
            suggested_patch=patch_for({"lora_alpha": alpha}),
        )


def _cheaper_method(
    config: TrainingConfig, parameters: int, linear_parameters: int | None
) -> Iterator[Finding]:
    if config.training_type is TrainingType.FULL and parameters > FULL_TRAINING_PARAMETERS:
        yield _use_lora(
            "ADAPTER_IS_CHEAPER",
            f"FULL trains all {parameters} parameters, at some 16 bytes each.",
            remedy="LORA takes a fraction of that memory.",
            changes={"learning_rate": LEARNING_RATES[TrainingType.LORA]},
        )
    if config.quantised and quantisation_saves_little(parameters, linear_parameters):
        saved, whole = _saved(linear_parameters or 0), parameters * _BYTES
        yield _use_lora(
            "QUANTISATION_SAVES_LITTLE",
            f"4 bits make the base {saved / 1e6:.0f} of {whole / 1e6:.0f} MB smaller, since "
            "they spare its embeddings, which are most of it.",
            remedy="LORA is faster and more exact, and takes little more memory.",
            changes={},
        )


def _use_lora(code: str, message: str, *, remedy: str, changes: Mapping[str, object]) -> Finding:
    return Finding(
        severity=Severity.RECOMMENDATION,
        code=code,
        path=PATHS["training_type"],
        message=message,
        remedy=remedy,
        suggested_patch=patch_for({"training_type": TrainingType.LORA.value, **changes}),
    )
