"""Whether a run can start from trained weights: they must fit what it trains, option by option."""

from collections.abc import Iterator, Mapping
from typing import Final

from training.config import TrainingConfig, TrainingType
from training.findings import PATHS, Finding, Severity, patch_for

_LORA: Final = ("lora_rank", "lora_alpha", "target_modules", "rs_lora", "dora")

SHAPES: Final[Mapping[TrainingType, tuple[str, ...]]] = {
    TrainingType.LORA: _LORA,
    TrainingType.QLORA: _LORA,
    TrainingType.FULL: (),
    TrainingType.FREEZE: ("trainable_layers", "train_embeddings"),
}
"""The options that decide which weights a method trains, and what these mean in the model."""


def inherited(source: TrainingConfig) -> dict[str, object]:
    """The choices that a run takes over from what it starts from, where it makes none itself."""
    fields = (*SHAPES[source.training_type], "chat_template")
    return {field: getattr(source, field) for field in fields}


def decided_by(source: TrainingConfig) -> frozenset[str]:
    """The options that are not to be chosen by a run that starts from what was trained so."""
    return frozenset(("training_type", *SHAPES[source.training_type]))


def misfits(config: TrainingConfig, source: TrainingConfig, name: str) -> Iterator[Finding]:
    """An error for each option by which the run cannot go on from the weights that `name` names,
    with the patch that takes over what these were trained with."""
    fields = ("training_type", *SHAPES[source.training_type])
    for field in fields:
        here, there = getattr(config, field), getattr(source, field)
        if here == there:
            continue
        label = PATHS[field][-1]
        yield Finding(
            severity=Severity.ERROR,
            code="START_INCOMPATIBLE",
            path=PATHS[field],
            message=f"{label} is {_shown(here)}, but {name} was trained with {_shown(there)}.",
            remedy=f"Set {label} to {_shown(there)}, or start from the base model.",
            suggested_patch=patch_for({field: _plain(there)}),
        )


def _shown(value: object) -> str:
    if value is None:
        return "unset"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _plain(value: object) -> object:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else value
