"""A version in a file format: what is asked for, and what became of it, as the API has both."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from api.client.record import Record
from api.client.results import Failure
from jobs.status import TaskStatus
from training.export.spec import ExportFormat, MergeBase, WeightType

__all__ = ["Export", "ExportFile", "ExportOptions", "Parity", "StoredWeights"]


class ExportOptions(BaseModel):
    """How to write a version. What is left out, the format decides."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )

    format: ExportFormat = ExportFormat.SAFETENSORS
    adapter_only: bool = False
    weight_type: WeightType | None = None
    shard_bytes: int | None = None
    merge_base: MergeBase | None = None


class ExportFile(Record):
    """One file of an export; `download_url` is a path on the server, good for some minutes."""

    name: str
    size_bytes: int
    sha256: str
    download_url: str


class StoredWeights(Record):
    """The weights of an export that are stored alike."""

    name: str
    tensors: int
    parameters: int
    size_bytes: int


class Parity(Record):
    """How an export, loaded by its own runtime, compares with the trained model."""

    tokens_equal: bool
    template_equal: bool | None
    kl_divergence: float
    top1_agreement: float
    max_logit_difference: float
    stop_token_respected: bool
    single_bos: bool | None
    positions: int | None
    job_rows: int
    first_difference: str | None


class Export(Record):
    """A version in a file format."""

    id: str
    format: ExportFormat
    adapter_only: bool
    weight_type: WeightType | None
    merge_base: MergeBase | None
    status: TaskStatus
    progress: float
    error: Failure | None
    size_bytes: int | None
    compression_ratio: float | None
    dtype: str | None
    bits_per_weight: float | None
    weights: tuple[StoredWeights, ...]
    sha256: str | None
    files: tuple[ExportFile, ...]
    parity: Parity | None
