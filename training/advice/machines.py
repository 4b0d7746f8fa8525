"""Options that suit another machine than the one which may train."""

from collections.abc import Iterator
from typing import Final

from training.advice.case import Case
from training.config import Optimizer, Sharding, TrainingType
from training.findings import Finding, recommendation

_NOT_PAGED: Final = {
    Optimizer.PAGED_ADAMW: Optimizer.ADAMW,
    Optimizer.PAGED_ADAMW_8BIT: Optimizer.ADAMW_8BIT,
}


def needless_quantisation(case: Case) -> Iterator[Finding]:
    """Four bits on a CPU, which unpacks them each time, where the base has room as it is."""
    changes = {"training_type": TrainingType.LORA.value}
    if case.config.quantised and case.facts.device == "cpu" and case.has_memory(changes):
        yield recommendation(
            "QUANTISATION_SLOWS_CPU",
            "training_type",
            message="On a CPU QLORA takes up to a half longer than LORA, for which there is memory.",
            remedy="Use LORA, which is faster and more exact.",
            changes=changes,
        )


def needless_paging(case: Case) -> Iterator[Finding]:
    """A paged optimizer without a GPU whose memory could run out."""
    other = _NOT_PAGED.get(case.config.optimizer)
    if other is not None and case.facts.device == "cpu":
        yield recommendation(
            "PAGING_WITHOUT_GPU",
            "optimizer",
            message=f"optimizer is {case.config.optimizer}, but on a CPU there is nowhere to move "
            "its memory to.",
            remedy=f"Use {other}, which is the same without.",
            changes={"optimizer": other.value},
        )


def needless_sharding(case: Case) -> Iterator[Finding]:
    """A model split among devices each of which could hold it whole."""
    changes = {"sharding": Sharding.NONE.value}
    split = case.config.sharding is Sharding.FULL and case.config.devices > 1
    if split and case.has_memory(changes):
        yield recommendation(
            "SHARDING_NOT_NEEDED",
            "sharding",
            message=f"sharding is FULL, but each of the {case.config.devices} devices could hold the "
            "model whole, and would then compute it faster.",
            remedy="Leave sharding NONE.",
            changes=changes,
        )
