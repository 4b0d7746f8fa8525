"""A finding about a config, and the patch that settles it, in the API input's own names."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from training.config import Frozen, TrainingConfig


class Severity(StrEnum):
    """An ERROR cannot run; a WARNING can, and is unusual; a RECOMMENDATION may do better."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    RECOMMENDATION = "RECOMMENDATION"


class Finding(Frozen):
    """One thing to know before a run. `path` and `suggested_patch` speak the API input's names."""

    severity: Severity
    code: str
    path: tuple[str, ...]
    message: str
    remedy: str
    suggested_patch: dict[str, object] | None = None
    """Merged into the input, it settles the finding; None where no config can."""


PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "training_type": ("trainingType",),
    "learning_rate": ("hyperparameters", "learningRate"),
    "batch_size": ("hyperparameters", "batchSize"),
    "epochs": ("hyperparameters", "epochs"),
    "warmup_steps": ("hyperparameters", "warmupSteps"),
    "max_steps": ("hyperparameters", "maxSteps"),
    "weight_decay": ("hyperparameters", "weightDecay"),
    "gradient_accumulation_steps": ("hyperparameters", "gradientAccumulationSteps"),
    "max_gradient_norm": ("hyperparameters", "maxGradientNorm"),
    "scheduler": ("hyperparameters", "scheduler"),
    "optimizer": ("hyperparameters", "optimizer"),
    "lora_rank": ("hyperparameters", "loraRank"),
    "lora_alpha": ("hyperparameters", "loraAlpha"),
    "lora_dropout": ("hyperparameters", "loraDropout"),
    "target_modules": ("hyperparameters", "targetModules"),
    "rs_lora": ("hyperparameters", "rsLora"),
    "dora": ("hyperparameters", "dora"),
    "lora_initialisation": ("hyperparameters", "loraInitialisation"),
    "trainable_layers": ("hyperparameters", "trainableLayers"),
    "train_embeddings": ("hyperparameters", "trainEmbeddings"),
    "max_sequence_length": ("hyperparameters", "maxSequenceLength"),
    "seed": ("hyperparameters", "seed"),
    "validation_split": ("data", "validationSplit"),
    "stratify": ("data", "stratify"),
    "drop_leaks_from": ("data", "dropLeaksFrom"),
    "shuffle": ("data", "shuffle"),
    "max_samples": ("data", "maxSamples"),
    "on_too_long": ("data", "onTooLong"),
    "early_stopping.enabled": ("earlyStopping", "enabled"),
    "early_stopping.patience": ("earlyStopping", "patience"),
    "early_stopping.min_delta": ("earlyStopping", "minDelta"),
    "checkpointing.enabled": ("checkpointing", "enabled"),
    "checkpointing.interval": ("checkpointing", "interval"),
    "checkpointing.keep_best": ("checkpointing", "keepBest"),
    "chat_template": ("chatTemplate",),
    "train_on": ("trainOn",),
    "devices": ("devices",),
    "sharding": ("sharding",),
    "sample_prompts": ("samplePrompts",),
}
"""Where each option of `TrainingConfig`, dotted below the top, stands in the API's input."""


def patch_for(changes: Mapping[str, object]) -> dict[str, object]:
    """The input patch that gives the named options these values."""
    patch: dict[str, object] = {}
    for field, value in changes.items():
        patch = merge(patch, _nested(PATHS[field], value))
    return patch


def error(code: str, message: str, *, remedy: str, changes: Mapping[str, object]) -> Finding:
    """An error that belongs to the first option its cure changes."""
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=PATHS[next(iter(changes))],
        message=message,
        remedy=remedy,
        suggested_patch=patch_for(changes),
    )


def warning(
    code: str,
    field: str,
    *,
    message: str,
    remedy: str,
    changes: Mapping[str, object] | None = None,
) -> Finding:
    """A warning about an option, and the changes that settle it, where any do."""
    return _about(Severity.WARNING, code, field, message=message, remedy=remedy, changes=changes)


def recommendation(
    code: str,
    field: str,
    *,
    message: str,
    remedy: str,
    changes: Mapping[str, object] | None = None,
) -> Finding:
    """A recommendation about an option, and the changes that follow it, where any do."""
    return _about(
        Severity.RECOMMENDATION, code, field, message=message, remedy=remedy, changes=changes
    )


def apply(config: TrainingConfig, patch: Mapping[str, object]) -> TrainingConfig:
    """The config with an input patch of known names merged into it."""
    options = config.model_dump()
    for field, path in PATHS.items():
        value = _at(patch, path)
        if value is not _ABSENT:
            options = merge(options, _nested(tuple(field.split(".")), value))
    return TrainingConfig.model_validate(options)


def changes(patch: Mapping[str, object], field: str) -> bool:
    """Whether an input patch says anything of this option."""
    return _at(patch, PATHS[field]) is not _ABSENT


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity, errors first, and else as they came."""
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def combined_patch(findings: Iterable[Finding]) -> dict[str, object]:
    """All suggested patches as one; of two for the same option the later wins."""
    patch: dict[str, object] = {}
    for finding in findings:
        patch = merge(patch, finding.suggested_patch or {})
    return patch


def merge(base: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """`base` with `patch` over it, objects merged key by key."""
    merged = dict(base)
    for key, value in patch.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _about(
    severity: Severity,
    code: str,
    field: str,
    *,
    message: str,
    remedy: str,
    changes: Mapping[str, object] | None,
) -> Finding:
    return Finding(
        severity=severity,
        code=code,
        path=PATHS[field],
        message=message,
        remedy=remedy,
        suggested_patch=patch_for(changes) if changes else None,
    )


_ABSENT: Final = object()


def _nested(path: tuple[str, ...], value: object) -> dict[str, object]:
    head, *rest = path
    return {head: _nested(tuple(rest), value) if rest else value}


def _at(patch: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(patch, Mapping) or key not in patch:
            return _ABSENT
        patch = patch[key]
    return patch
