"""Uploads: files for datasets, sent by plain HTTP beside the API."""

from datetime import UTC, datetime
from typing import Annotated, TypeAlias
from urllib.parse import quote

import strawberry

from jobs.data import uploads
from jobs.models import Upload as UploadRow
from schema import ids
from schema.context import Info
from schema.enums import Role, UploadStatus
from schema.nodes import Node
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.scalars import BigInt

__all__ = ["Upload", "UploadMutations", "UploadQueries"]


@strawberry.type(
    description="A file on its way in; it is gone once the dataset made of it is READY."
)
class Upload(Node):
    name: str = strawberry.field(description="The file's name.")
    status: UploadStatus = strawberry.field(description="READY once it is whole.")
    size_bytes: BigInt | None = strawberry.field(description="Its size; null while not known.")
    received_bytes: BigInt = strawberry.field(
        description="How much of it is here for good; the next part begins there."
    )
    sha256: str | None = strawberry.field(
        description="The checksum that was announced or, once it is whole, that it has."
    )
    expires_at: datetime = strawberry.field(
        description="When it is removed if no dataset is being made of it by then."
    )
    created_at: datetime = strawberry.field(description="When it was announced.")
    row: strawberry.Private[UploadRow]

    @classmethod
    def of(cls, row: UploadRow) -> "Upload":
        return cls(
            id=ids.encode(ids.Kind.UPLOAD, row.id),
            name=row.name,
            status=row.status,
            size_bytes=None if row.size_bytes is None else BigInt(row.size_bytes),
            received_bytes=BigInt(row.received_bytes),
            sha256=row.sha256,
            expires_at=row.expires_at,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(
        description="Where to send it, a path on this server that needs no further proof: PUT takes "
        "the file, or with `Content-Range: bytes FIRST-LAST/SIZE` a part of it; HEAD tells in "
        "`Upload-Offset` where the next part begins."
    )
    def url(self, info: Info) -> str:
        left = self.expires_at - datetime.now(UTC)
        token = info.context.service.tokens.sign_upload(self.row.id, int(left.total_seconds()))
        return f"/uploads/{quote(token)}"


@strawberry.input(description="A file to be sent. What is told here is held against what arrives.")
class CreateUploadInput:
    name: str = strawberry.field(description="The file's name; 1 to 255 characters.")
    size_bytes: BigInt | None = strawberry.field(
        default=None, description="Its size, where it is known; its PUT must tell it in any case."
    )
    sha256: str | None = strawberry.field(
        default=None, description="Its checksum in hex; another is refused once all has arrived."
    )


@strawberry.type(description="What the deletion of an upload removed.")
class DeletedUpload:
    id: strawberry.ID = strawberry.field(description="The id that the upload had.")
    freed_bytes: BigInt = strawberry.field(description="Bytes of files removed.")


CreateUploadResult: TypeAlias = Annotated[
    Upload | InvalidProblem | ConflictProblem,
    strawberry.union("CreateUploadResult", description="The upload, or why there is none."),
]
DeleteUploadResult: TypeAlias = Annotated[
    DeletedUpload | NotFoundProblem | ConflictProblem,
    strawberry.union("DeleteUploadResult", description="What was removed, or why nothing was."),
]


@strawberry.type
class UploadQueries:
    @strawberry.field(
        description="One upload; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_upload(
        self,
        info: Info,
        upload_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="An upload's id.")
        ],
    ) -> Upload | None:
        key = ids.decode(ids.Kind.UPLOAD, upload_id)
        return Upload.of(await uploads.get(info.context.viewer, key))


@strawberry.type
class UploadMutations:
    @strawberry.mutation(
        description="Announce a file, and learn where to send it. Your own unused upload of the same "
        "size and checksum is given again, so that a transfer that broke off goes on.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def create_upload(
        self,
        info: Info,
        sent: Annotated[
            CreateUploadInput, strawberry.argument(name="input", description="The file.")
        ],
    ) -> CreateUploadResult:
        announced = uploads.Announced(sent.name, sent.size_bytes, sent.sha256)
        row = await uploads.create(
            info.context.viewer, announced, settings=info.context.service.settings
        )
        return Upload.of(row)

    @strawberry.mutation(
        description="Remove an upload and what arrived of it; refused while a dataset is being made "
        "of it.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def delete_upload(
        self,
        info: Info,
        upload_id: Annotated[strawberry.ID, strawberry.argument(description="An upload's id.")],
    ) -> DeleteUploadResult:
        removed = await uploads.delete(
            info.context.viewer,
            ids.decode(ids.Kind.UPLOAD, upload_id),
            artifacts=info.context.service.artifacts,
        )
        return DeletedUpload(id=upload_id, freed_bytes=BigInt(removed.freed_bytes))
