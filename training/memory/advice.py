"""What is said of a run that may not find the memory it needs, and what would."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from training.config import LEARNING_RATES, OnTooLong, TrainingConfig, TrainingType
from training.estimates import MemoryEstimate
from training.findings import PATHS, Finding, Severity, apply, merge, patch_for

MAY_NOT_SUFFICE: Final = "MEMORY_MAY_NOT_SUFFICE"

_TIGHT: Final = 0.9
"""Of what is available: an estimate above that may be off by what is left."""
_SHORTEST_ROW: Final = 128
_PASSING: Final = frozenset({"activations", "logits"})

Estimator = Callable[[TrainingConfig], MemoryEstimate | None]


def memory_finding(
    config: TrainingConfig,
    estimate: Estimator,
    *,
    methods: Sequence[TrainingType] = (TrainingType.LORA, TrainingType.QLORA),
) -> Finding | None:
    """A warning where what is available will hardly do. It suggests what by the same estimate
    leaves room, among other things one of `methods`, and nothing where nothing does."""
    memory = estimate(config)
    if memory is None or suffices(memory):
        return None
    patches = _patches(config, memory, methods)
    patch = next((each for each in patches if _helps(each, config, estimate)), None)
    share = memory.peak / max(1, memory.available)
    return Finding(
        severity=Severity.WARNING,
        code=MAY_NOT_SUFFICE,
        path=_path(patch),
        message=f"The run may need {share:.0%} of the memory: {memory.described()}.",
        remedy=_REMEDIES[_path(patch)] if patch else memory.remedy(),
        suggested_patch=patch,
    )


def suffices(memory: MemoryEstimate) -> bool:
    """Whether the estimate leaves so much room that it may be somewhat wrong."""
    return memory.peak <= _TIGHT * memory.available


def _helps(patch: dict[str, object], config: TrainingConfig, estimate: Estimator) -> bool:
    memory = estimate(apply(config, patch))
    return memory is not None and suffices(memory)


def _patches(
    config: TrainingConfig, memory: MemoryEstimate, methods: Sequence[TrainingType]
) -> Iterator[dict[str, object]]:
    """What might help, what changes the run least first."""
    shorter = list(_shorter_rows(config))
    cheaper = list(_cheaper_methods(config, methods))
    yield from (*shorter, *cheaper) if memory.largest in _PASSING else (*cheaper, *shorter)
    yield from (merge(method, rows) for method in cheaper for rows in shorter)


def _shorter_rows(config: TrainingConfig) -> Iterator[dict[str, object]]:
    cut = {"on_too_long": "TRUNCATE"} if config.on_too_long is OnTooLong.ERROR else {}
    length = config.max_sequence_length // 2
    while length >= _SHORTEST_ROW:
        yield patch_for({"max_sequence_length": length, **cut})
        length //= 2


def _cheaper_methods(
    config: TrainingConfig, methods: Sequence[TrainingType]
) -> Iterator[dict[str, object]]:
    for method in methods:
        if config.training_type in (method, TrainingType.QLORA):
            continue
        rate = {} if config.adapts else {"learning_rate": LEARNING_RATES[method]}
        yield patch_for({"training_type": method.value, **rate})


def _path(patch: dict[str, object] | None) -> tuple[str, ...]:
    """The option that the cure changes first; without one, the method, which decides most."""
    shorter = patch is not None and "trainingType" not in patch
    return PATHS["max_sequence_length" if shorter else "training_type"]


_REMEDIES: Final = {
    PATHS["max_sequence_length"]: "Lower maxSequenceLength: longer examples are then cut.",
    PATHS["training_type"]: "Train adapters, which hold a fraction of that memory.",
}
