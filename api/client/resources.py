"""What a job was estimated to need, what it did need, and who is there to give it."""

from datetime import datetime

from api.client.record import Record
from training.estimates import EstimateMethod
from training.export.spec import ExportFormat
from training.timing.estimate import TimeMethod

__all__ = [
    "Hindrance",
    "MemoryEstimate",
    "ResourceEstimate",
    "ResourceUsage",
    "TimeEstimate",
    "Worker",
]


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


class TimeEstimate(Record):
    """The seconds a run will take by its phases, `factor` times more or less."""

    preparing: float
    training: float
    validating: float
    total: float
    factor: float
    method: TimeMethod


class ResourceEstimate(Record):
    """What the newest attempt at a job was estimated to need."""

    memory: MemoryEstimate
    seconds: float | None


class ResourceUsage(Record):
    """What the newest attempt at a job did need."""

    peak_memory_bytes: int
    seconds: float


class Hindrance(Record):
    """What keeps a job waiting, for as long as it does."""

    code: str
    message: str
    remedy: str


class Machine(Record):
    """One device of a worker. Bytes are what a run could hold."""

    device: str
    bfloat16: bool
    threads: int
    available_bytes: int
    operations_per_second: float | None


class Worker(Record):
    """A worker that is there. `devices` is how many one job of it can have."""

    name: str
    devices: int
    devices_in_use: int
    slots: int
    machine: Machine | None
    export_formats: tuple[ExportFormat, ...] | None
    started_at: datetime
    seen_at: datetime
