"""What a config says of the devices that train together, and where that makes no sense."""

from collections.abc import Iterator

from training.config import (
    BITSANDBYTES_OPTIMIZERS,
    Optimizer,
    Sharding,
    TrainingConfig,
    TrainingType,
)
from training.findings import PATHS, Finding, Severity, patch_for


def placement_findings(config: TrainingConfig) -> Iterator[Finding]:
    """Each way in which devices and sharding do not fit the rest of the config."""
    if config.sharding is Sharding.FULL and config.training_type is TrainingType.QLORA:
        yield Finding(
            severity=Severity.ERROR,
            code="QUANTISED_NOT_SHARDED",
            path=PATHS["sharding"],
            message="sharding is FULL, but the quantised base of QLORA cannot be split.",
            remedy="Leave sharding NONE: each device then holds the base, in 4 bits.",
            suggested_patch=patch_for({"sharding": Sharding.NONE.value}),
        )
    elif config.sharding is Sharding.FULL and config.optimizer in BITSANDBYTES_OPTIMIZERS:
        yield Finding(
            severity=Severity.ERROR,
            code="OPTIMIZER_NOT_SHARDED",
            path=PATHS["optimizer"],
            message=f"sharding is FULL, but {config.optimizer} cannot work on split tensors.",
            remedy="Use ADAMW, whose moments are split with the tensors.",
            suggested_patch=patch_for({"optimizer": Optimizer.ADAMW.value}),
        )
    elif config.sharding is Sharding.FULL and config.devices == 1:
        yield Finding(
            severity=Severity.WARNING,
            code="NOTHING_TO_SHARD",
            path=PATHS["sharding"],
            message="sharding is FULL, but one device holds the model whole.",
            remedy="Ask for more devices, or leave sharding NONE.",
            suggested_patch=patch_for({"sharding": Sharding.NONE.value}),
        )
    examples = config.batch_size * config.gradient_accumulation_steps
    if config.devices > examples:
        yield Finding(
            severity=Severity.WARNING,
            code="MORE_DEVICES_THAN_EXAMPLES",
            path=PATHS["devices"],
            message=f"devices is {config.devices}, but a step has only {examples} examples.",
            remedy="Ask for no more devices than a step has examples: the others would be idle.",
            suggested_patch=patch_for({"devices": examples}),
        )
