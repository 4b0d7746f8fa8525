"""Exports: a version's files, offered once they are proven to be the trained model."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias
from urllib.parse import quote

import strawberry

from jobs.models import Export as ExportRow
from jobs.registry import exports
from schema import ids
from schema.context import Info
from schema.enums import Role, TaskStatus
from schema.export_enums import ExportFormat, MergeBase, WeightType
from schema.nodes import Failure, Node, failure, required
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.scalars import BigInt
from training.export.spec import ExportResult

if TYPE_CHECKING:  # a version has exports and an export its version: a circle of types only
    from schema.registry.versions import ModelVersion

__all__ = ["Export", "ExportMutations", "ExportQueries"]


@strawberry.type(description="How the exported file, loaded afresh, compares with the model.")
class Parity:
    tokens_equal: bool = strawberry.field(
        description="Whether texts become the same tokens: those compared, and some thirty strings that "
        "tokenizers differ over."
    )
    kl_divergence: float = strawberry.field(
        description="Mean over positions, in nats, between the two distributions of next tokens."
    )
    top1_agreement: float = strawberry.field(
        name="top1Agreement",
        description="Share of positions where the likeliest next token is the same, 0 to 1.",
    )
    max_logit_difference: float = strawberry.field(description="The largest seen.")
    stop_token_respected: bool = strawberry.field(
        description="Whether the file stops at the token that assistant turns end with."
    )
    template_equal: bool | None = strawberry.field(
        description="Whether the chat template renders conversations alike; null for older exports."
    )
    single_bos: bool | None = strawberry.field(
        name="singleBos",
        description="Whether a prompt begins with at most one BOS token; null for older exports.",
    )
    positions: int | None = strawberry.field(
        description="Tokens whose logits were compared, in every way in which the format is used: at "
        "once, and for ONNX also step by step with its cache and in a padded batch; null for older "
        "exports."
    )
    job_rows: int = strawberry.field(
        description="Records of the job's own data among the texts: held out ones where there are any."
    )
    first_difference: str | None = strawberry.field(
        description="The first place where the likeliest next token differs; null where none does."
    )


@strawberry.type(description="The weights of an export that are stored alike.")
class StoredWeights:
    name: str = strawberry.field(description="Their element type, or that of their quantisation.")
    tensors: int = strawberry.field(description="How many tensors they are.")
    parameters: BigInt = strawberry.field(description="How many weights they are.")
    size_bytes: BigInt = strawberry.field(description="What they take up, with their scales.")


@strawberry.type(description="One file of an export.")
class ExportFile:
    name: str = strawberry.field(description="Its name among the export's files.")
    size_bytes: BigInt = strawberry.field(description="Its size.")
    sha256: str = strawberry.field(description="Its checksum.")
    export: strawberry.Private[ExportRow]

    @strawberry.field(
        description="Where to fetch it without further proof, for some minutes; a path on this server."
    )
    def download_url(self, info: Info) -> str:
        token = info.context.service.tokens.sign_download(self.export.id, self.name)
        return f"/downloads/{quote(token)}"


@strawberry.type(description="A version in a file format.")
class Export(Node):
    format: ExportFormat = strawberry.field(description="The file format.")
    adapter_only: bool = strawberry.field(
        description="Whether it is the adapter alone, to be used beside its base."
    )
    weight_type: WeightType | None = strawberry.field(
        description="What it was asked to store weights in; null where that was left to the format."
    )
    merge_base: MergeBase | None = strawberry.field(
        description="What it was asked to merge an adapter of QLORA into; null where that was not said."
    )
    status: TaskStatus = strawberry.field(description="READY only after it passed its parity.")
    progress: float = strawberry.field(description="How far it is, 0 to 100.")
    error: Failure | None = strawberry.field(description="Why it FAILED.")
    size_bytes: BigInt | None = strawberry.field(
        description="All files together; null until READY."
    )
    compression_ratio: float | None = strawberry.field(
        description="The whole model in 32-bit floats over the export's weights; null until READY."
    )
    dtype: str | None = strawberry.field(
        description="What most weights are stored in: what was asked for, the base's element type, or "
        "float32 where rounding to that would have changed the model; null until READY."
    )
    weights: list[StoredWeights] = strawberry.field(
        description="All that its weights are stored in, most first; none until READY."
    )
    bits_per_weight: float | None = strawberry.field(
        description="Over all weights, scales included; null until READY."
    )
    sha256: str | None = strawberry.field(
        description="Of its manifest, which names that of every other file; null until READY."
    )
    files: list[ExportFile] = strawberry.field(description="Its files; none until READY.")
    parity: Parity | None = strawberry.field(
        description="How it compares with the trained model; null until READY."
    )
    created_at: datetime = strawberry.field(description="When it was asked for.")
    row: strawberry.Private[ExportRow]

    @classmethod
    def of(cls, row: ExportRow) -> "Export":
        result = ExportResult.model_validate(row.result) if row.result else None
        return cls(
            id=ids.encode(ids.Kind.EXPORT, row.id),
            format=row.format,
            adapter_only=row.adapter_only,
            weight_type=row.weight_type,
            merge_base=row.merge_base,
            status=row.status,
            progress=row.progress,
            error=failure(row.error),
            size_bytes=BigInt(result.size_bytes) if result else None,
            compression_ratio=result.compression_ratio if result else None,
            dtype=result.dtype if result else None,
            weights=_weights(result),
            bits_per_weight=result.bits_per_weight if result else None,
            sha256=result.sha256 if result else None,
            files=_files(row, result),
            parity=Parity(**result.parity.model_dump()) if result else None,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="The version that is exported.")
    async def model_version(
        self, info: Info
    ) -> Annotated["ModelVersion", strawberry.lazy("schema.registry.versions")]:
        return required(await info.context.loaders.versions.load(self.row.version_id))


def _weights(result: ExportResult | None) -> list[StoredWeights]:
    return [
        StoredWeights(
            name=each.name,
            tensors=each.tensors,
            parameters=BigInt(each.parameters),
            size_bytes=BigInt(each.size_bytes),
        )
        for each in (result.weights if result else ())
    ]


def _files(row: ExportRow, result: ExportResult | None) -> list[ExportFile]:
    return [
        ExportFile(
            name=file.name, size_bytes=BigInt(file.size_bytes), sha256=file.sha256, export=row
        )
        for file in (result.files if result else ())
    ]


@strawberry.input(description="An export to be made.")
class ExportModelInput:
    model_version_id: strawberry.ID = strawberry.field(description="The version to export.")
    format: ExportFormat = strawberry.field(description="The file format.")
    adapter_only: bool = strawberry.field(
        default=False,
        description="The adapter alone instead of the whole model; SAFETENSORS and GGUF.",
    )
    weight_type: WeightType | None = strawberry.field(
        default=None,
        description="What to store weights in: ONNX takes INT8, and GGUF all others. null leaves it to "
        "the format.",
    )
    shard_bytes: BigInt | None = strawberry.field(
        default=None,
        description="The largest weight file, from 1000000; a tensor is never divided. SAFETENSORS "
        "only; null: 5000000000.",
    )
    merge_base: MergeBase | None = strawberry.field(
        default=None,
        description="QLORA only, and not with `adapterOnly`. With ORIGINAL the file is compared with the "
        "adapter beside the base before its quantisation; null: QUANTISED.",
    )


ExportModelResult: TypeAlias = Annotated[
    Export | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("ExportModelResult", description="The queued export, or why there is none."),
]


@strawberry.type
class ExportQueries:
    @strawberry.field(
        description="One export; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_export(
        self,
        info: Info,
        export_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="An export's id.")
        ],
    ) -> Export | None:
        key = ids.decode(ids.Kind.EXPORT, export_id)
        return Export.of(await exports.get(info.context.viewer, key))


@strawberry.type
class ExportMutations:
    @strawberry.mutation(
        description="Write a version in a file format; follow the export's `status`.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def export_model(
        self,
        info: Info,
        sent: Annotated[
            ExportModelInput, strawberry.argument(name="input", description="The export.")
        ],
    ) -> ExportModelResult:
        row = await exports.request(
            info.context.viewer,
            ids.decode(ids.Kind.VERSION, sent.model_version_id),
            exports.ExportRequest(
                format=sent.format,
                adapter_only=sent.adapter_only,
                weight_type=sent.weight_type,
                shard_bytes=sent.shard_bytes,
                merge_base=sent.merge_base,
            ),
            queue=info.context.service.queue,
            lease_seconds=info.context.service.settings.lease_seconds,
        )
        return Export.of(row)
