"""What speaks against an export before it is queued."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jobs.models import BaseModel, ModelVersion
from training.config import TrainingConfig
from training.events import TrainingResult
from training.export.spec import (
    ADAPTER_FORMATS,
    GGUF_ARCHITECTURES,
    LEAST_SHARD_BYTES,
    NEEDED_PACKAGES,
    SHARDED_FORMATS,
    WEIGHT_TYPES,
    ExportFormat,
    MergeBase,
    WeightType,
)
from training.findings import Finding, Severity
from training.models.facts import ModelFacts

__all__ = ["ExportRequest", "findings", "unavailable"]


@dataclass(frozen=True)
class ExportRequest:
    """What somebody wants of a version; None for what the format does by itself."""

    format: ExportFormat
    adapter_only: bool = False
    weight_type: WeightType | None = None
    shard_bytes: int | None = None
    merge_base: MergeBase | None = None
    """What an adapter is merged into that was trained beside 4 bits; None for these."""


def findings(wanted: ExportRequest, version: ModelVersion, base: BaseModel) -> Iterator[Finding]:
    """Everything that speaks against an export, as far as it is known without a look at its weights."""
    yield from _adapter_findings(wanted, version)
    yield from _weight_type_findings(wanted)
    yield from _shard_findings(wanted)
    yield from _merge_findings(wanted, TrainingConfig.model_validate(version.config))
    if base.facts is not None:
        yield from _architecture_findings(wanted.format, ModelFacts.model_validate(base.facts))


def unavailable(wanted: ExportFormat) -> Finding:
    """That no worker has the libraries of a format."""
    return Finding(
        severity=Severity.ERROR,
        code="EXPORTER_UNAVAILABLE",
        path=("format",),
        message=f"{wanted} needs {_listed(NEEDED_PACKAGES[wanted])}, which no worker that is there "
        "has.",
        remedy=f"Install tunery[{wanted.lower()}] in a worker's environment, or choose another format.",
    )


def _adapter_findings(wanted: ExportRequest, version: ModelVersion) -> Iterator[Finding]:
    trained = TrainingResult.model_validate(version.result)
    if wanted.adapter_only and not trained.adapter:
        yield _error(
            "NO_ADAPTER",
            "adapterOnly",
            f"Version {version.version} was trained whole and has no adapter.",
        )
    elif wanted.adapter_only and wanted.format not in ADAPTER_FORMATS:
        yield _error(
            "ADAPTER_NOT_OFFERED",
            "adapterOnly",
            f"{wanted.format} holds whole models; an adapter alone goes with "
            f"{_listed(ADAPTER_FORMATS)}.",
        )


def _weight_type_findings(wanted: ExportRequest) -> Iterator[Finding]:
    offered = WEIGHT_TYPES[wanted.format]
    if wanted.weight_type is None:
        return
    if wanted.weight_type not in offered:
        others = f": it has {_listed(offered)}" if offered else " and chooses by itself"
        yield _error(
            "WEIGHT_TYPE_NOT_OFFERED",
            "weightType",
            f"{wanted.format} does not store weights as {wanted.weight_type}{others}.",
        )
    elif wanted.adapter_only:
        yield _error(
            "ADAPTER_STAYS_AS_IT_IS",
            "weightType",
            f"An adapter alone is stored as it was trained, and not as {wanted.weight_type}.",
        )


def _shard_findings(wanted: ExportRequest) -> Iterator[Finding]:
    if wanted.shard_bytes is None:
        return
    if wanted.format not in SHARDED_FORMATS:
        yield _error("NOT_SHARDED", "shardBytes", f"{wanted.format} has its weights in one file.")
    elif wanted.shard_bytes < LEAST_SHARD_BYTES:
        yield Finding(
            severity=Severity.ERROR,
            code="SHARDS_TOO_SMALL",
            path=("shardBytes",),
            message=f"shardBytes is {wanted.shard_bytes}, below {LEAST_SHARD_BYTES}.",
            remedy=f"Set it to {LEAST_SHARD_BYTES} or more.",
        )


def _merge_findings(wanted: ExportRequest, config: TrainingConfig) -> Iterator[Finding]:
    if wanted.merge_base is None:
        return
    if not config.quantised:
        yield _error(
            "MERGE_BASE_NOT_OFFERED",
            "mergeBase",
            f"{config.training_type} trains beside a base that is not quantised.",
        )
    elif wanted.adapter_only:
        yield _error("NOTHING_MERGED", "mergeBase", "An adapter alone is merged into nothing.")


def _architecture_findings(wanted: ExportFormat, facts: ModelFacts) -> Iterator[Finding]:
    reason = ""
    if wanted is ExportFormat.GGUF and facts.architecture not in GGUF_ARCHITECTURES:
        reason = f"known are {_listed(GGUF_ARCHITECTURES)}"
    elif wanted is ExportFormat.ONNX and facts.fused_experts:
        reason = "it computes all of its experts at once, which no operation of ONNX does"
    if reason:
        yield Finding(
            severity=Severity.ERROR,
            code="NOT_EXPORTABLE",
            path=("format",),
            message=f"{facts.architecture} cannot be written as {wanted}: {reason}.",
            remedy="Choose another format; SAFETENSORS takes every model.",
        )


def _error(code: str, field: str, message: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=(field,),
        message=message,
        remedy=f"Leave {field} out.",
    )


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))
