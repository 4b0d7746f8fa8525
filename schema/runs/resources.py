"""What a training run was estimated to need, and what it did need."""

from collections.abc import Mapping
from typing import Any

import strawberry

from schema.enums import EstimateMethod, TimeMethod
from schema.scalars import BigInt
from training.estimates import MemoryEstimate as StoredMemory
from training.timing.estimate import TimeEstimate as ToldTime

__all__ = ["MemoryEstimate", "ResourceEstimate", "ResourceUsage", "TimeEstimate"]


@strawberry.type(
    description="The most memory that a run will hold at once, in bytes: that of the accelerator "
    "where there is one, else that of the training process. Of a run on several devices it is what one "
    "of them will hold: with sharding FULL its part of weights, gradients and optimizer, what is "
    "gathered whole at a time, and the activations of its own rows."
)
class MemoryEstimate:
    weights: BigInt = strawberry.field(description="For the model's weights.")
    gradients: BigInt = strawberry.field(description="For gradients.")
    optimizer: BigInt = strawberry.field(description="For the optimizer's memory.")
    activations: BigInt = strawberry.field(
        description="For what the forward pass keeps for the backward pass, and what passes by."
    )
    logits: BigInt = strawberry.field(
        description="For the output head's results, and their gradients."
    )
    base: BigInt = strawberry.field(
        description="For all else that the process holds: libraries, the data."
    )
    peak: BigInt = strawberry.field(
        description="All of it; or what was held while the model was loaded, or will be while a "
        "checkpoint of a split one is gathered, where that is more."
    )
    available: BigInt = strawberry.field(description="What the process could hold.")
    fits: bool = strawberry.field(description="Whether the peak is within what is available.")
    method: EstimateMethod = strawberry.field(description="How it was estimated.")

    @classmethod
    def of(cls, memory: StoredMemory) -> "MemoryEstimate":
        return cls(**memory.model_dump(), fits=memory.fits)


@strawberry.type(
    description="The seconds that a run will take by itself on that worker, without an early stop."
)
class TimeEstimate:
    preparing: float = strawberry.field(
        description="From the start of its process to its first step."
    )
    training: float = strawberry.field(
        description="For its epochs, with their validations and checkpoints."
    )
    validating: float = strawberry.field(
        description="For the best checkpoint to be tested and the model to be written."
    )
    total: float = strawberry.field(description="All three.")
    factor: float = strawberry.field(
        description="How sure that is: the run may take so many times as long, or end in as small a "
        "part of the time."
    )
    method: TimeMethod = strawberry.field(description="How it was estimated.")

    @classmethod
    def of(cls, time: ToldTime) -> "TimeEstimate":
        return cls(**time.model_dump(), total=time.total, factor=time.factor)


@strawberry.type(description="What the newest attempt at a job was estimated to need.")
class ResourceEstimate:
    memory: MemoryEstimate = strawberry.field(description="Told before the first step.")
    seconds: float | None = strawberry.field(
        description="From the start of its process to its end, without an early stop; told from the "
        "pace of the first steps, and null until then and for a run of a single step."
    )

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ResourceEstimate":
        memory = StoredMemory.model_validate(stored["memory"])
        return cls(memory=MemoryEstimate.of(memory), seconds=stored["seconds"])


@strawberry.type(description="What the newest attempt at a job did need.")
class ResourceUsage:
    peak_memory_bytes: BigInt = strawberry.field(
        description="The most memory it held at once, of the kind that was estimated."
    )
    seconds: float = strawberry.field(description="From the start of its process to its end.")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ResourceUsage":
        return cls(peak_memory_bytes=stored["peak_memory_bytes"], seconds=stored["seconds"])
