"""Adapters and chosen layers against the model's own sizes."""

from collections.abc import Iterator

from training.advice.case import Case
from training.config import TrainingType
from training.engine.bounds import SHAPES
from training.findings import Finding, error, recommendation, warning
from training.limits import with_rank
from training.methods.targets import adapted_layers


def wide_adapter(case: Case) -> Iterator[Finding]:
    """A rank that the matrix beside an adapter does not have itself."""
    narrowest, rank = case.narrowest, case.config.lora_rank
    if case.config.adapts and narrowest is not None and rank > narrowest:
        better = 1 << (narrowest.bit_length() - 1)
        yield warning(
            "RANK_EXCEEDS_LAYER",
            "lora_rank",
            message=f"loraRank is {rank}, but the narrowest of the adapted layers is only "
            f"{narrowest} wide: nothing beyond that can be learnt there.",
            remedy=f"Set loraRank to {better} or less.",
            changes=with_rank(better, case.config),
        )


def unknown_targets(case: Case) -> Iterator[Finding]:
    """Names that no linear layer of the model has."""
    targets, shape, layers = case.config.target_modules, case.facts.shape, case.facts.layer_count
    if not (case.config.adapts and targets and shape and layers):
        return
    names = [each.name for each in shape.linears]
    found = [
        target
        for target in targets
        if any(adapted_layers(name, (target,), layers) for name in names)
    ]
    missing = ", ".join(target for target in targets if target not in found)
    there = ", ".join(name.rpartition(".")[2] for name in names)
    if not found:
        yield error(
            "TARGET_MODULES_NOT_FOUND",
            f"targetModules names {missing}, but the model's linear layers are {there}.",
            remedy="Leave targetModules out to adapt every linear layer.",
            changes={"target_modules": None},
        )
    elif missing:
        yield warning(
            "TARGET_MODULE_UNKNOWN",
            "target_modules",
            message=f"targetModules names {missing} too, which the model does not have; its linear "
            f"layers are {there}.",
            remedy="Leave out what is not there.",
            changes={"target_modules": found},
        )


def every_layer_trained(case: Case) -> Iterator[Finding]:
    """FREEZE that freezes no layer."""
    layers, config = case.facts.layer_count, case.config
    freezes = config.training_type is TrainingType.FREEZE
    if freezes and layers is not None and 1 < layers <= config.trainable_layers:
        better = min(2, layers - 1)
        yield recommendation(
            "FREEZE_TRAINS_EVERY_LAYER",
            "trainable_layers",
            message=f"trainableLayers is {config.trainable_layers} of the model's {layers} decoder "
            "layers, so that none is frozen.",
            remedy=f"Train the last {better}, or use FULL.",
            changes={"trainable_layers": better},
        )


def slower_way(case: Case) -> Iterator[Finding]:
    """An option by which a model leaves the engine's fastest way of computing it."""
    shape, config = case.facts.shape, case.config
    if shape is None or not (config.adapts and config.dora):
        return
    if shape.model_type in SHAPES and shape.activation == "silu" and not shape.attention_dropout:
        yield recommendation(
            "DORA_COMPUTES_SLOWER",
            "dora",
            message=f"dora is true, with which a {shape.model_type} model is computed by its own "
            "layers, slower and with more memory than by those written out for it.",
            remedy="Compare with plain LORA of a higher rank, which takes less time.",
        )
