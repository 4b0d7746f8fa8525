"""What an export child is told (`export.json`) and what it answers (`result.json`)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from training.config import Frozen


class ExportFormat(StrEnum):
    """The file formats a trained version can be written in."""

    SAFETENSORS = "SAFETENSORS"
    PYTORCH = "PYTORCH"
    ONNX = "ONNX"
    GGUF = "GGUF"


class WeightType(StrEnum):
    """What weights can be stored in instead of a format's own choice."""

    INT8 = "INT8"
    F32 = "F32"
    BF16 = "BF16"
    F16 = "F16"
    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_K_M = "Q5_K_M"
    Q4_K_M = "Q4_K_M"
    Q4_0 = "Q4_0"


class MergeBase(StrEnum):
    """What an adapter is merged into that was trained beside a base in 4 bits."""

    QUANTISED = "QUANTISED"
    ORIGINAL = "ORIGINAL"


WEIGHT_TYPES: Final[Mapping[ExportFormat, frozenset[WeightType]]] = {
    ExportFormat.SAFETENSORS: frozenset(),
    ExportFormat.PYTORCH: frozenset(),
    ExportFormat.ONNX: frozenset({WeightType.INT8}),
    ExportFormat.GGUF: frozenset(WeightType) - {WeightType.INT8},
}
"""Which of them each format can be asked for."""
QUANTISED: Final = frozenset(
    {WeightType.Q8_0, WeightType.Q6_K, WeightType.Q5_K_M, WeightType.Q4_K_M, WeightType.Q4_0}
)
"""Those that llama.cpp makes of a file in fp32."""
ADAPTER_FORMATS: Final = frozenset({ExportFormat.SAFETENSORS, ExportFormat.GGUF})
"""The formats that can hold an adapter alone."""
SHARDED_FORMATS: Final = frozenset({ExportFormat.SAFETENSORS})
"""The formats whose weights can be divided among several files."""

NEEDED_PACKAGES: Final[Mapping[ExportFormat, tuple[str, ...]]] = {
    ExportFormat.ONNX: ("onnx", "onnxscript", "onnxruntime"),
    ExportFormat.GGUF: ("gguf", "llama_cpp"),
}
"""What writing and loading a format takes beside what every worker has."""
GGUF_ARCHITECTURES: Final = frozenset(
    {
        "GPT2LMHeadModel",
        "Gemma2ForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
    }
)
"""The models that there are GGUF files of, by transformers' classes."""

SHARD_BYTES: Final = 5_000_000_000
"""A shard's longest unless another is asked for: model hubs take files of this size everywhere."""
LEAST_SHARD_BYTES: Final = 1_000_000


class ExportSpec(Frozen):
    """One version, one format. Paths are local folders; `model_path` may also be a hub id."""

    version_path: str
    """The folder a training run left as `model/`."""
    model_path: str
    """The base model that an adapter is merged into."""
    adapter: bool
    """Whether `version_path` holds an adapter rather than whole weights."""
    quantised: bool = False
    """Whether the model's base is in 4 bits, beside which the adapter was trained."""
    merged_into_original: bool = False
    """Whether it was trained so, but is merged into the weights that the 4 bits were made of; then
    `quantised` is false, and the model is that adapter beside that base."""
    format: ExportFormat = ExportFormat.SAFETENSORS
    adapter_only: bool = False
    """Write the adapter alone, for use beside its base."""
    weight_type: WeightType | None = None
    """What to store weights in; None for what the format does by itself."""
    shard_bytes: int = SHARD_BYTES
    """The largest weight file, where the format has several; one tensor is never divided."""
    model_name: str
    """What the exported model card calls the model."""
    base_name: str | None = None
    """The public name of the base, written where a reader must find it again."""
    job_path: str | None = None
    """The folder of the run that made the version: rows of its data are part of the comparison."""


class Parity(Frozen):
    """How the exported file, loaded afresh, compares with the trained model on the same texts."""

    tokens_equal: bool
    """Of every text, and of strings that tokenizers are known to differ over."""
    kl_divergence: float
    """Mean over positions, in nats, of the trained model's distribution from the file's."""
    top1_agreement: float
    """The share of positions whose likeliest next token is the same, 0 to 1."""
    max_logit_difference: float
    stop_token_respected: bool
    """Whether the model card's stop tokens include the one that assistant turns end with."""
    template_equal: bool | None = None
    """Whether conversations are rendered alike; None for exports of before this was looked at."""
    single_bos: bool | None = None
    """Whether a prompt begins with at most one BOS token; None as above."""
    positions: int | None = None
    """Tokens whose logits were compared; None as above."""
    job_rows: int = 0
    """Rows of the job's own data among the texts, held out ones where there are any."""
    first_difference: str | None = None
    """The first place where tokens, template or likeliest token differ; None where none does."""


class StoredType(Frozen):
    """The weights of an export that are stored alike."""

    name: str
    tensors: int
    parameters: int
    size_bytes: int
    """With whatever belongs to them, such as the scales of quantised weights."""


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
    """What most of the weights are stored in."""
    weights: tuple[StoredType, ...] = ()
    """All that they are stored in, most first; empty for exports of before this was noted."""
    sha256: str
    """Of the manifest, which names the sha256 of every other file."""
    files: tuple[ExportFile, ...]
    parity: Parity

    @property
    def bits_per_weight(self) -> float | None:
        """Over all weights; None where it was not noted what they are stored in."""
        parameters = sum(each.parameters for each in self.weights)
        return (
            8 * sum(each.size_bytes for each in self.weights) / parameters if parameters else None
        )
