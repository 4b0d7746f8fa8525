"""What an export child is told (`export.json`) and what it answers (`result.json`)."""

from enum import StrEnum

from training.config import Frozen


class ExportFormat(StrEnum):
    """The file formats a trained version can be written in."""

    SAFETENSORS = "SAFETENSORS"


class ExportSpec(Frozen):
    """One version, one format. Paths are local folders; `model_path` may also be a hub id."""

    version_path: str
    """The folder a training run left as `model/`."""
    model_path: str
    """The base model that an adapter is merged into."""
    adapter: bool
    """Whether `version_path` holds an adapter rather than whole weights."""
    quantised: bool = False
    """Whether the adapter was trained beside its base in 4 bits, which is then part of the model."""
    format: ExportFormat = ExportFormat.SAFETENSORS
    adapter_only: bool = False
    """Write the adapter alone, for use beside its base."""
    model_name: str
    """What the exported model card calls the model."""
    base_name: str | None = None
    """The public name of the base, written where a reader must find it again."""
    data_sample: tuple[str, ...] = ()
    """Texts of the job's own data, added to the fixed ones that parity is measured on."""


class Parity(Frozen):
    """How the exported file, loaded afresh, compares with the trained model on the same texts."""

    tokens_equal: bool
    kl_divergence: float
    """Mean over positions, in nats, of the trained model's distribution from the file's."""
    top1_agreement: float
    """The share of positions whose likeliest next token is the same, 0 to 1."""
    max_logit_difference: float
    stop_token_respected: bool
    """Whether the model card's stop tokens include the one that assistant turns end with."""


class ExportFile(Frozen):
    """A file of an export; `name` is relative to the export's `files/` folder."""

    name: str
    size_bytes: int
    sha256: str


class ExportResult(Frozen):
    """A finished export whose parity is within its format's bounds."""

    size_bytes: int
    compression_ratio: float
    """The bytes of the whole base in fp32, divided by the bytes of the export's weights."""
    dtype: str
    """The element type of the weights: the base's, or `float32` where rounding to the base's would
    have changed the model."""
    sha256: str
    """Of the manifest, which names the sha256 of every other file."""
    files: tuple[ExportFile, ...]
    parity: Parity
