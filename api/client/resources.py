"""What a job was estimated to need, and what it did need."""

from api.client.record import Record
from training.estimates import EstimateMethod

__all__ = ["MemoryEstimate", "ResourceEstimate", "ResourceUsage"]


class MemoryEstimate(Record):
    """The most memory a run will hold at once, in bytes, by what it is held for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    base: int
    peak: int
    available: int
    fits: bool
    method: EstimateMethod


class ResourceEstimate(Record):
    """What the newest attempt at a job was estimated to need."""

    memory: MemoryEstimate
    seconds: float | None


class ResourceUsage(Record):
    """What the newest attempt at a job did need."""

    peak_memory_bytes: int
    seconds: float
